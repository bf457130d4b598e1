package limits_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// disk is a small volume that can be filled.
type disk struct {
	*volume.Volume
	fill *os.File
}

// newSmallDisk makes a volume of 400 MiB. It is skipped where there are no loop
// devices.
func newSmallDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a volume needs root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip(err)
	}
	// Not below the test's own folder: its name is too long for sockets.
	dir, err := os.MkdirTemp("/var/tmp", "bf-")
	if err != nil {
		t.Fatal(err)
	}
	v, err := volume.OpenLoop(t.Context(), volume.Ext4, dir, 400<<20)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, unix.ENODEV) {
		t.Skip(errors.Join(err, os.RemoveAll(dir)))
	}
	if err != nil {
		t.Fatal(errors.Join(err, os.RemoveAll(dir)))
	}
	fill, err := os.Create(filepath.Join(v.Dir, "fill"))
	t.Cleanup(func() {
		if err := errors.Join(fill.Close(), v.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return &disk{v, fill}
}

// leave fills the disk until only so many bytes are free.
func (d *disk) leave(t *testing.T, free int64) {
	t.Helper()
	// What has just been removed is free only after that.
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for piece := int64(64 << 20); piece >= 4<<10; {
		err := unix.Fallocate(int(d.fill.Fd()), 0, size, piece)
		switch {
		case err == nil:
			size += piece
		case errors.Is(err, unix.ENOSPC):
			piece /= 2
		default:
			t.Fatalf("fill %s: %v", d.Dir, err)
		}
	}
	d.empty(t, max(0, size-free))
}

// empty cuts what fills the disk to size.
func (d *disk) empty(t *testing.T, size int64) {
	t.Helper()
	if err := errors.Join(d.fill.Truncate(size), d.Sync()); err != nil {
		t.Fatalf("empty %s: %v", d.Dir, err)
	}
}

// free is how much is free.
func (d *disk) free(t *testing.T) int64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(d.fill.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bfree) * fs.Bsize
}

const (
	// fullStep is by how much more is free from one try to the next.
	fullStep = 3 << 20
	// fineStep is the same where a commit's small files are written: in its
	// beginning, and in its end.
	fineStep = 200 << 10
	// fullMost is far more than what a test writes.
	fullMost = 100 << 20
)

// TestCommitOnAFullDisk commits a container with less space than it takes, from
// none to just enough. What does not fit fails, says so, and leaves nothing.
func TestCommitOnAFullDisk(t *testing.T) {
	c := newFullCommit(t)
	for free := int64(0); free < 5*fineStep; free += fineStep {
		c.try(t, free)
	}
	enough := int64(fullStep)
	for ; !c.try(t, enough); enough += fullStep {
		if enough > fullMost {
			t.Fatalf("%d MiB are not enough", enough>>20)
		}
	}
	for free := enough - fullStep + fineStep; free < enough; free += fineStep {
		c.try(t, free)
	}
	t.Logf("%d MiB are enough; with less, commits failed when %v", enough>>20, c.stages)
	if c.stages["sealing"] == 0 || c.stages["shipping"] == 0 {
		t.Error("it did not run out of space when sealing, or when shipping")
	}

	e, d := c.Env, c.disk
	d.empty(t, 0)
	image := e.Must(t, "commit", c.id)
	if got := e.Must(t, "run", "--rm", image, "sh", "-c", fullSums); got != c.want {
		t.Errorf("in the end the image holds\n%s\nwant\n%s", got, c.want)
	}
	e.Must(t, "rmi", image)
	e.Settled(t, c.before)
	harness.Eventually(t, "the space to be free again", func() error {
		// Logs grow, and so does containerd's database.
		if lost := c.free - d.free(t); lost > 4<<20 {
			return fmt.Errorf("%d KiB are lost", lost>>10)
		}
		return nil
	})
	e.NoFilesLeft(t)
}

// fullCommit is a container to be committed on a disk that is full.
type fullCommit struct {
	*harness.Env
	disk   *disk
	id     string
	want   string // what the container holds
	before harness.State
	free   int64
	stages map[string]int // at what commits failed
}

// fullSums prints what newFullCommit's container holds.
const fullSums = "md5sum /big /f*"

func newFullCommit(t *testing.T) *fullCommit {
	t.Helper()
	d := newSmallDisk(t)
	e := harness.Start(t, stack.Config{Root: filepath.Join(d.Dir, "s")}, "busybox")
	id := e.Run(t, "busybox", `dd if=/dev/urandom of=/big bs=1M count=18 2>/dev/null
		for i in $(seq 40); do dd if=/dev/urandom of=/f$i bs=1k count=100 2>/dev/null; done`)
	want := e.Must(t, "exec", id, "sh", "-c", fullSums)
	return &fullCommit{e, d, id, want, e.StateAtRest(t), d.free(t), map[string]int{}}
}

// try commits with that much space, and tells whether that was enough. After a
// failure it makes space and commits again.
func (c *fullCommit) try(t *testing.T, free int64) bool {
	t.Helper()
	c.disk.leave(t, free)
	out, failed := c.Try(t, "commit", c.id)
	if failed != nil {
		stage := stageOf(out)
		c.stages[stage]++
		if stage == "" || !strings.Contains(out, "commit container "+c.id[:12]) || !strings.Contains(out, "no space left on device") {
			t.Errorf("with %d KiB free the message is %q", free>>10, out)
		}
		if status := c.Inspect(t, c.id, "{{.State.Status}} {{.State.Paused}}"); status != "running false" {
			t.Errorf("with %d KiB free the container became %s", free>>10, status)
		}
	}
	c.disk.empty(t, 0)
	if failed != nil {
		c.SettledBut(t, fmt.Sprintf("%d KiB were free", free>>10), c.before)
		// runc needs some space for this.
		if got := c.Must(t, "exec", c.id, "sh", "-c", fullSums); got != c.want {
			t.Errorf("with %d KiB free the container came to hold\n%s\nwant\n%s", free>>10, got, c.want)
		}
		out = c.Must(t, "commit", c.id)
	}
	c.Must(t, "rmi", out)
	c.Settled(t, c.before)
	return failed == nil
}

// stageOf tells by its message at what a commit failed.
func stageOf(message string) string {
	for _, stage := range []struct{ name, word string }{
		{"leasing", "create lease"},
		{"looking", "keep content"},
		{"preparing", "prepare snapshot"},
		{"sealing", ": seal "},
		{"syncing", ": sync "},
		{"shipping", "layer"},
		{"publishing", "write application/"},
		{"publishing", "create image"},
		{"publishing", "commit snapshot"},
	} {
		if strings.Contains(message, stage.word) {
			return stage.name
		}
	}
	return ""
}

// TestCreateOnAFullDisk creates containers with less space than that takes.
func TestCreateOnAFullDisk(t *testing.T) {
	d := newSmallDisk(t)
	e := harness.Start(t, stack.Config{Root: filepath.Join(d.Dir, "s")}, "busybox")
	e.Must(t, "rm", e.Must(t, "create", "busybox")) // the image is unpacked then
	before := e.StateAtRest(t)
	failed := 0
	for free := int64(0); ; free += 4 << 10 {
		d.leave(t, free)
		out, err := e.Try(t, "create", "--name", "full", "busybox")
		d.empty(t, 0)
		if err == nil {
			t.Logf("%d KiB are enough; with less, it failed %d times", free>>10, failed)
			break
		}
		if failed++; !strings.Contains(out, "no space left on device") && !strings.Contains(out, "its disk is full") {
			t.Errorf("with %d KiB free the message is %q", free>>10, out)
		}
		if left := e.Must(t, "ps", "-aq"); left != "" {
			t.Fatalf("with %d KiB free container %s is left", free>>10, left)
		}
		e.SettledBut(t, fmt.Sprintf("%d KiB were free", free>>10), before)
		if free > fullMost {
			t.Fatal("no space is enough")
		}
	}
	if failed == 0 {
		t.Error("no space at all was enough")
	}
	if out := e.Must(t, "start", "-a", "full"); out != "" {
		t.Errorf("the container that could be created prints %q", out)
	}
	e.Remove(t, "full")
	e.Settled(t, before)
}
