package revisions_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestLiveSnapshotsCopyWhatChanged: the second snapshot of a running container writes the
// file that has changed, and not the thousand that have not. A daemon that was killed or
// restarted copies all. Each snapshot can be gone back to.
func TestLiveSnapshotsCopyWhatChanged(t *testing.T) {
	const files, size = 1000, 1 << 20
	const look = "cd /; ls -lR d e | md5sum; head -qc 1000 d/* e/* | md5sum"
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"live-restore": true}}, "busybox")
	e.Must(t, "run", "-d", "--network=none", "--name", "web", "busybox", "sleep", "10000")
	e.Must(t, "exec", "web", "sh", "-ec", fmt.Sprintf(`mkdir /d /e; dd if=/dev/urandom of=/e/r bs=%d count=1 2>/dev/null; for i in $(seq %d); do cp /e/r /d/$i; done; sleep 0.1`, size, files))
	sums := map[int]string{}
	snapshot := func(least, most int64) {
		t.Helper()
		want := e.Must(t, "exec", "web", "sh", "-c", look)
		before := e.BytesWritten(t)
		n := e.Snapshot(t, "web", "live").Number
		if wrote := e.BytesWritten(t) - before; wrote < least || wrote > most {
			t.Errorf("snapshot %d wrote %d bytes, and was to write from %d to %d", n, wrote, least, most)
		}
		sums[n] = want
	}
	sh := func(script string) {
		t.Helper()
		e.Must(t, "exec", "web", "sh", "-ec", "cd /; "+script)
	}
	const all = int64(files) * size
	snapshot(all, 2*all)
	sh(`dd if=/dev/urandom of=/d/7 bs=1M count=1 2>/dev/null`)
	snapshot(size, 3*size)
	sh(`rm -r e; mkdir e; echo new > e/r; mv d/8 e/8; rm d/9; chmod 600 d/10`)
	snapshot(size, 5*size)
	sh(`cd d; rm 1* 2* 3* 4* 5* 6* 8*; sleep 0.1`) // the rest copies fewer
	snapshot(0, 4*size)
	left := all / 5 // about
	for name, again := range map[string]func(){
		"killed":  func() { e.KillAndStart(t, stack.Dockerd) },
		"stopped": func() { e.RestartDockerd(t) },
	} {
		t.Log("dockerd is " + name)
		again()
		snapshot(left/2, 2*left)
		sh(`echo ` + name + ` > /d/7`)
		snapshot(0, 3*size)
	}
	list := e.Must(t, "baleen", "revisions", "web")
	if lines := strings.Count(list, "live"); lines != len(sums) {
		t.Errorf("there are %d revisions:\n%s", lines, list)
	}
	for n := len(sums); n > 0; n-- {
		e.Rollback(t, "web", api.RollbackRequest{Revision: n})
		if got := e.Must(t, "exec", "web", "sh", "-c", look); got != sums[n] {
			t.Errorf("revision %d has\n%s\nwant\n%s", n, got, sums[n])
		}
	}
}
