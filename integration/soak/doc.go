// Soak does random file operations until its time is over or something is lost,
// and then prints the shortest list of operations that loses it: on overlay
// mounts of its own, in containers of an engine of its own, or both in turns.
//
//	go run ./integration/soak                       without end, on overlay mounts
//	go run ./integration/soak -for 2m -in raw,containers
//	go run ./integration/soak -seed 7 -trials 1     this one plan
//	go run ./integration/soak -ops /some/folder     only operations, no checks
//
// Each trial has a seed of its own, counted up from the first, so that what is
// printed can be done again. See packages trial and containers for what is
// checked, and fsops for the operations. Built with CGO_ENABLED=0 the program
// runs in any container: there -ops changes the container's files for a test
// outside to look at.
package main
