// Package harness is what the tests with daemons have in common. It starts a stack (package
// stack) for a test, runs the docker command and Docker's API, lists all that an
// operation could leave behind, and makes calls between the daemons fail or kills them.
//
// # How to write a test
//
// Choose the folder of integration whose doc.go names the subject of the test. In it:
//
//	func TestCommitKeepsNotes(t *testing.T) {
//		e := harness.Start(t, stack.Config{}, "busybox")
//		id := e.Run(t, "busybox", "echo note > /note")
//		before := e.State(t)
//		image := e.Must(t, "commit", id)
//		if got := e.Must(t, "run", "--rm", image, "cat", "/note"); got != "note" {
//			t.Errorf("the image has the note %q", got)
//		}
//		e.Must(t, "rmi", image)
//		e.Settled(t, before) // nothing is left of it
//	}
//
// Run it with
//
//	go test ./integration/commit -run '^TestCommitKeepsNotes$' -v
//
// after `make build`. [Start] takes some seconds: cases that can share daemons are
// subtests of one test. What a test makes is removed by t.Cleanup, and the stack goes
// with the test. [Eventually] waits for something; a test does not sleep. A test that
// cannot run on a machine skips with the reason ([NeedCRIU], [NeedBuildx]).
//
// A function that only one folder needs stays in that folder. One that a second folder
// needs comes here.
//
// # Words
//
// An [Env] is a running stack with a client of its containerd. Its methods fail the test
// if something goes wrong; those that begin with Try return the error, and what was
// printed. A State is the list of leases, snapshots, ingests, images, mounts and paused
// containers. A kill or a failure is at a call if it comes instead of the nth call that
// dockerd makes to containerd (package fault).
//
// # Caveats
//
// Folders are tested side by side, each in a process of its own. A stack has namespaces,
// so ports, network names and sockets inside it are its own. Files that a test makes lie
// in t.TempDir. What the machine has only once, such as bin/images, is written under a
// lock. Each folder has a TestMain that enters a mount namespace: tests mount images and
// disks, which nobody else must see.
package harness
