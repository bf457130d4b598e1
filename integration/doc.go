// Package integration holds tests of the whole, through the docker command, against a
// real dockerd, containerd and runc. Each test lies in the folder of its subject:
//
//	commit, build, images        what makes and moves images
//	revisions, history, moves    snapshots, upgrades and rollbacks: through the API; in
//	                             containerd's store; by an image service in the test
//	workloads                    the same for real services and databases
//	compose                      projects of Docker Compose, and containers that share
//	                             namespaces
//	checkpoint                   checkpoints and restore
//	client                       the same for containers of containerd's own client
//	kill, power, limits          daemons that are killed, power that is cut, full disks
//	userns, stock, proxy         user namespaces; the way from and to stock Docker;
//	                             baleen-containerd
//	fixture                      data roots that an earlier version wrote
//	guides                       the commands that README.md and docs tell a reader to run
//	cost                         measurements of parts
//
// `go test ./integration/commit -run '^TestCommit$' -v` runs one of them after `make
// build`. Package harness is what they share, and tells how to write one.
//
// The other folders are tools: stack starts and stops the daemons in private namespaces,
// fault makes calls between them fail and fault/sysfault their calls of the kernel, moby
// and containerd run the suites of others on the fork and on stock, fidelity compares
// images with their containers, soak makes random changes, bench measures, demo is `make
// run`, up is `make up`.
package integration
