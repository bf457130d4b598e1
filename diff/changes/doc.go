// Package changes reads what a container changed in its file system.
//
// [ParseOverlay] tells from a snapshot's mounts where its files lie, and
// [Container.Walk] reads the uppers and calls back for each [Change]. A Change
// opens its file when it is asked to: what is not asked for is not read.
// [Container.Split] tells the changes of each upper by itself, [Limited] ends a walk
// of what would be too large a layer.
//
// The container may run meanwhile. What goes or changes its type while it is looked
// at is diff.ErrChanged, and the walk can be tried again.
package changes
