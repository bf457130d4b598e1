// Package stack starts and stops a whole engine, containerd and dockerd, in
// namespaces and folders of its own, so that tests, benchmarks and a developer
// can each have one without touching the machine's or another's. A test begins with
// package harness, which starts one and tells how to write a test. Package baseimage
// makes the images that LoadImages and GenerateImage put into it.
//
// # Words
//
// A stack is one containerd and one dockerd with everything that they start.
// Its root is the folder that holds all its files. The keeper is a process
// outside the namespaces that owns the root and takes it all down in the end.
// The init is process 1 of the namespaces; it starts the daemons and reaps what
// they leave behind.
//
//	the program that called Start
//	└─ keeper            in the caller's namespaces; holds the lock of the root
//	   └─ init           new mount, PID, network, IPC, UTS and cgroup namespaces
//	      ├─ containerd
//	      ├─ dockerd
//	      ├─ registry    if StartRegistry was called
//	      └─ shims, containers, programs run with Stack.Command
//
// Keeper and init are the calling program itself, started again: an init
// function of this package recognises them by an environment variable. So any
// program or test binary that imports this package can hold a stack.
//
// # What it promises
//
// Nothing outlives a stack: no process, mount, cgroup or file. The keeper holds
// the reading end of a pipe from the program that called Start, and takes the
// stack down when that program ends, also by SIGKILL. It does so by killing the
// init: the kernel then kills every process of the PID namespace, and the mount
// and network namespaces go with the last of them. If the keeper itself is
// killed the kernel kills the init at once; the root and the (empty) cgroups
// that then remain are swept by the next Start.
//
// A root given in Config with KeepRoot keeps its data, so that a second stack
// can go on where the first one stopped, with another flavor of dockerd for
// example. Config.Detach lets a stack live on after its starter, until somebody
// attaches to it and stops it.
//
// # What is inside
//
// Inside the namespaces /proc, /sys, /run and /dev/shm are fresh, and cgroups
// start at the stack's own. dockerd's exec root is /run/docker and containerd's
// state is /run/containerd, as in production; /run/docker.sock and
// /run/docker/containerd/containerd.sock lead to the stack's sockets. All other
// paths are the machine's, so a path means the same inside and outside. There is
// a loopback and an interface with a default route, but no way out: the network
// is the stack's own. The mount tree is shared within the stack, as systemd and
// Moby's CI have it, and private towards the machine.
//
// # Caveats
//
// The host's /tmp is visible inside, but the daemons' TMPDIR is in the root, so
// that a daemon killed half-way leaves nothing in /tmp. Programs run with
// [Stack.Command] have that TMPDIR too.
//
// The stack's cgroup is made below the starter's own (with cgroup v2, below the
// nearest ancestor that passes controllers on), so the starter's limits hold.
//
// Stop asks dockerd to end, which gives every running container its stop
// timeout (ten seconds by default). Remove containers first, or use
// [Stack.Kill], when that matters.
package stack
