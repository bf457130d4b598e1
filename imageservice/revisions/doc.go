// Package revisions keeps states of containers, and moves containers to images and to kept
// states: [Store]. Package containerstore has the files; what this package adds is Docker's
// side of a container.
//
// A state is kept by [Store.Snapshot]. A container moves to another image with what it wrote
// merged in ([Store.PrepareUpgrade]), or to a kept state ([Store.PrepareRollback]). A [Move]
// is prepared, with a plan, and then run or abandoned. Docker's own record of the container
// is the daemon's to write, from [Store.State].
//
// One operation at a time changes a container's revisions; a second is a conflict. While Run
// replaces the active snapshot, those wait who look the container up. Whoever reads the files
// meanwhile reads the state that they began with.
//
// Changes are merged by reading layers, so upgrades and Carry need an overlay snapshotter;
// keeping and going back do not.
package revisions
