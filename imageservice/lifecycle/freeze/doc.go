// Package freeze makes the containers of a daemon stand still while a commit, a
// snapshot or a checkpoint reads their files.
//
// # Words
//
// A freeze stops a container's processes by its control group ([freezer.Set]) for the
// moments of a commit. It is no pause: the daemon's record does not show it, docker ps
// and docker inspect do not call the container paused, and to end it takes no lock of
// the container. docker events shows a pause and an unpause. A pause is what docker
// pause does, by the runtime. Where a container cannot be frozen, because its runtime
// is not runc, it is paused.
//
// # What it promises
//
// What the daemon asks of containerd for a container that is frozen waits until the
// freeze is over, and keeps the next one waiting until it is done: [Freezer.Client].
// So docker exec, pause, unpause, update and checkpoint do not fail because of a
// commit. A signal waits in [Freezer.AwaitThaw], which the daemon calls before it locks
// the container: a frozen process does not heed its stop signal, and would be killed
// when the patience of docker stop ends.
//
// docker commit freezes a container unless the caller asked for no pause, or the container
// does not run or is paused already: [Freezer.Commit].
//
// Every freeze ends. Who reads the files defers the thaw, so it comes after a panic, too.
// What cannot be thawed is tried again in the background until it can. If the daemon dies,
// its next start thaws: the lease of the operation has the label io.baleen.pauses, and
// [ThawGroup] is called before the lease is deleted. For runtimes other than runc it is
// [Freezer.ThawInterrupted].
//
// # Caveats
//
// A freeze shares one with others of the same container that are under way.
//
// docker pause waits in [Freezer.AwaitPause]. If another freeze begins before it has the
// lock, it waits for that with the container locked. So who has frozen a container must not
// wait for its lock before the thaw, but after [Freezer.FreezeToEnd], during which docker
// pause is refused.
//
// A nil *Freezer belongs to a daemon whose images are a graph driver's: nothing is
// frozen, and nobody waits.
package freeze
