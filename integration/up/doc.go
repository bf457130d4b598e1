// Command up keeps one stack running for a developer to play with, until it is
// told to stop: the fork of dockerd with a containerd of its own, in
// /var/tmp/baleen-up, with a busybox image.
//
//	go run ./integration/up start [-stock]
//	go run ./integration/up status
//	go run ./integration/up stop
//
// It is what `make up` and `make down` call. Stopping removes all that was in
// the stack, images and containers included.
package main
