// Package clientopts has options for containerd's own client: they give containers
// revisions, upgrades, rollbacks, checkpoints and mapped ids, without Docker. It is not
// named client, since whoever imports it imports containerd's client too.
//
// [WithNewSnapshot], [WithUpgrade] and [WithRollback] are options for containers
// made with containerd's own client, on any snapshotter. Such a container's
// record says which snapshot it is on, so a move makes the next one beside it,
// and changes nothing else before the record is written:
//
//	<id>:3     active: what the record has as its SnapshotKey
//	<id>:2     what it was on before; sealed by the next move, as
//	<id>:r2
//	<id>:r1    a revision
//
// No start-up has anything to complete, and no lease outlasts a move: labels lead from
// each snapshot to the one before, so the record keeps all of them, and without
// it containerd collects them. [Revisions], [PruneRevisions], [Discard] and
// [WithRevisionCleanup] look after them.
//
// # What it promises
//
// Nothing of a container changes before containerd has written its record, and then
// all of it does; see [WithUpgrade] and [WithRollback]. Two who move one container at a
// time are kept apart by a claim, a snapshot without files that only one can make. A
// claim that its maker does not renew ends within a minute.
package clientopts
