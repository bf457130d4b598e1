// Chart draws the wall times of commits and builds that `make bench` has measured, a
// panel for each volume.
//
//	go -C integration/bench/chart run . IN.json OUT.svg
//
// It reads what `go run ./integration/bench -json` writes. It is a module of its own, so
// that what it draws and counts with is no dependency of dockerd.
package main
