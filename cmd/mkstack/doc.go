// Mkstack builds what a stack needs besides dockerd, from pinned sources:
// the docker CLI, docker-proxy, docker-init, containerd with its shim and ctr,
// runc, and a registry.
//
//	mkstack [-engine LINE] [-build DIR] [-bin DIR] [NAME...]
//	mkstack -tree NAME                    only make the program's tree, and print its folder
//	mkstack -test PKG -o FILE NAME        compile the tests of a package of that tree, with
//	        [-overlay FILE]               sources replaced as for go build -overlay
//
// The engine line is that of -engine, or of the variable ENGINE.
// containerd is linked with Baleen's snapshotter and differ, containerd-stock is as
// published. containerd-2.4-baleen and containerd-2.4 are the same two of the newest
// version, docker-25 is the docker command that Moby 29's own tests run. They,
// docker-buildx and docker-compose are made only when they are named. Names choose
// among the programs; without any, all others are made. Everything comes from the Go
// module proxy, except docker-init, which is Debian's tini.
package main
