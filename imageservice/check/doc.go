// Package check looks for what is wrong with what the daemon has in containerd and on
// disk, and repairs what can be repaired without losing anything.
//
// [Run] looks at each container and its revisions, at the leases of operations and of
// containers, at mounts, and at the blobs of images. Each thing that is wrong is an
// [api.Finding]. The kinds of findings say what is looked for.
//
// # What it promises
//
// It may run beside all other operations, and then finds nothing that is not wrong. It
// looks first and locks nothing; what looks wrong counts only if no operation on the
// object was under way while it was looked at:
//
//   - an operation is noted before it has a lease, and forgotten when the lease is gone,
//     so a lease that is found before and after its operation was not under way is a leak;
//   - a container is watched while it is looked at, and looked at again if an operation
//     on it was under way. If one was each time, the report says that it is busy;
//   - a container that is being made has a folder before it has a lease, and a container
//     that is removed has one for longer than its lease;
//   - a file of a blob gets its name before containerd has a record of it. It counts if
//     all operations and builds have ended that were under way when it was found;
//   - a mount counts if all operations and builds have ended that were under way when it
//     was found.
//
// A container's files are kept from moving only while they are looked at, and only
// labels, records of revisions and names on disk are looked at.
//
// Repaired are leases of operations that are not under way, operations that were cut
// short ([containerstore.History.Recover] completes them or takes them back), files of
// blobs that containerd has no record of (it is made to remove them), and
// snapshots that the lease of their container does not hold. The last come first: when
// a lease is deleted, containerd removes what no lease holds.
//
// # Caveats
//
// It does not find: a sealed layer that was written afterwards, for nothing on disk
// tells; the folders of revisions that no container stands on, for which containerd
// would have to make snapshots; what is wrong with containers that the daemon has not
// loaded, those of another storage driver for example; ingests and snapshots that no
// lease holds, for containerd removes them.
//
// On a containerd that several daemons share, the leases of the other daemons'
// containers are findings. They are never repaired.
package check
