// Package lifecycle stops, switches, starts and watches the containers of a daemon for
// the operations on their revisions, and guards the containers meanwhile.
//
// [Operations] has these operations: a snapshot, a removal of revisions, an upgrade and a
// rollback. Package imageservice does their work on files; this package does their work
// on the daemon's containers and its records of them, by a few small roles (see [Config])
// that the daemon implements.
//
// # Words
//
// An operation is what somebody has asked for, such as an upgrade. There is one at a time
// for each container. A move is an operation that gives a container another state: an
// upgrade or a rollback. It stops the container, prepares its new files, switches to them,
// writes the new state into the daemon's record, adds volumes, and starts the container.
// A container is up if its health check calls it healthy, or, without one, if it runs on
// for three seconds. An upgrade whose container does not come up is taken back: the
// container moves to the state that it had.
//
// # What it promises
//
// A move that fails before the switch leaves the container as it was, running if it ran;
// but a rollback of a container that has lost the folder of what it wrote, as in a power
// cut, gives that up first. After a switch that fails the record says what the files are.
// Between the stop and the start nobody else can start the container
// ([Operations.MayStart]). Nobody can remove it while an operation is under way, but by
// force, which calls the operation off ([Operations.EndWork]). A move ends with its request
// until the switch, and not after.
//
// Whatever the daemon loads is made to agree with the files ([Operations.Load]): the
// daemon may have ended between a switch and the record of it. A container whose files
// cannot be used is loaded all the same, and tried again when it is started.
//
// # Guards and locks
//
// Two guards keep operations on one container apart. The guard of this package is for the
// daemon's container: an operation holds it from before the stop until the container has
// been watched, for minutes, and it refuses starts meanwhile. That of the files (Take in
// package locks) is held only while revisions change: a commit that seals what it reads, or
// the repair of a check, takes it without this package, also while an upgraded container is
// watched. One guard for both would refuse such commits for as long as a health check
// takes, or let them in between the plan and the switch.
//
// Neither is waited for: a second operation is refused. What is waited for is taken in this
// order, after the guards: the container's own lock, the lock of its files
// (Of in package locks), and that of its mounted layer. Whoever holds the lock of the files
// does not lock the container: a start holds that one, and waits to mount.
//
// # Caveats
//
// A nil *Operations belongs to a daemon whose images are a graph driver's: it refuses
// operations, and guards nothing.
//
// The container is locked only while its record is read or written, so that others can
// look at it during a move. They can also stop, pause or kill it; the watch then ends, and
// the result says that nobody saw the container up, because what they do says nothing about
// the new state.
package lifecycle
