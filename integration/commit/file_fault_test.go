package commit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/fault/sysfault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// newSysfaultEnv is a stack whose dockerd has its calls on files answered by an
// injector.
func newSysfaultEnv(t *testing.T, images ...string) (*harness.Env, *sysfault.Injector) {
	t.Helper()
	if err := sysfault.Available(); err != nil {
		t.Skip(err)
	}
	in, err := sysfault.Listen(filepath.Join(t.TempDir(), "sysfault.sock"))
	if err != nil {
		t.Fatal(err)
	}
	// The stack that is made after this ends before.
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	wrapped := t.TempDir()
	environ, err := in.Bin(wrapped, bin, "dockerd")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BALEEN_BIN", wrapped)
	return harness.Start(t, stack.Config{Env: environ}, images...), in
}

// allKinds changes a container in every way that a layer can carry, but for
// attributes, and prints what came of it.
const allKinds = `
	mkdir -p /d/sub && echo small > /d/small && echo deep > /d/sub/deep
	dd if=/dev/urandom of=/d/large bs=1k count=600 2>/dev/null
	ln /d/small /d/hard && ln -s small /d/soft && mkfifo /d/fifo && mknod /d/null c 1 3
	chown 12:34 /d/small && chmod 4750 /d/large && touch -d @1000000000 /d/sub/deep
	rm /etc/group && rm -rf /home && mkdir /home && echo new > /home/new
	chmod 711 /`

// tellAll prints what allKinds and allAttributes made.
const tellAll = `
	find /d /home | sort | xargs stat -c '%n %A %u:%g %s'; stat -c '%h' /d/small
	md5sum /d/large; stat -c '%a' /d/large
	stat -c '%Y' /d/sub/deep; cat /d/hard /d/soft /d/sub/deep /home/new; readlink /d/soft
	ls /etc/group 2>/dev/null || echo no group`

// allAttributes sets attributes that a layer carries on files of a running
// container, through its root as dockerd has mounted it.
func allAttributes(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	mounts := e.Mounts(t)
	at := slices.IndexFunc(mounts, func(m string) bool { return filepath.Base(m) == id })
	if at < 0 {
		t.Fatalf("the container's root is not among the mounts %v", mounts)
	}
	for _, name := range []string{"d", "d/small", "d/large"} {
		file := filepath.Join(fmt.Sprintf("/proc/%d/root", e.Pid(stack.Dockerd)), mounts[at], name)
		if err := unix.Setxattr(file, "user.krill", []byte(name), 0); err != nil {
			t.Fatalf("set attribute of %s: %v", file, err)
		}
	}
}

// step is one operation of a commit on a file: the nth call of that kind.
type step struct {
	sysfault.Call
	nth int
}

func (s step) String() string { return fmt.Sprintf("%v (%d)", s.Call, s.nth) }

// fileWatch follows the operations of one commit on the layers of snapshots. It
// tells the layers that exist beforehand by their numbers, and those that the
// commit makes as "new".
type fileWatch struct {
	layers string // the folder of all
	known  []string
	seen   map[sysfault.Call]int
	steps  []step
	fail   step // fails, if it comes by
	failed unix.Errno
}

func watchFiles(t *testing.T, e *harness.Env, fail step) *fileWatch {
	t.Helper()
	w := &fileWatch{
		layers: filepath.Join(e.ContainerdRoot(), "io.containerd.snapshotter.v1."+harness.Snapshotter, "snapshots"),
		seen:   map[sysfault.Call]int{},
		fail:   fail,
	}
	entries, err := os.ReadDir(w.layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		w.known = append(w.known, entry.Name())
	}
	return w
}

// plan is for an injector.
func (w *fileWatch) plan(c sysfault.Call) unix.Errno {
	below, ok := strings.CutPrefix(c.Path, w.layers+"/")
	if !ok {
		return 0
	}
	layer, rest, _ := strings.Cut(below, "/")
	if !slices.Contains(w.known, layer) {
		layer = "new"
	}
	c.Path = filepath.Join(layer, rest)
	w.seen[c]++
	s := step{c, w.seen[c]}
	w.steps = append(w.steps, s)
	if s != w.fail {
		return 0
	}
	w.failed = unix.EIO
	if layer == "new" && slices.Contains(taking, c.Name) {
		w.failed = unix.EDQUOT
	}
	return w.failed
}

// taking are calls that take space, or blocks of attributes.
var taking = []string{"mkdirat", "mknodat", "symlinkat", "linkat", "pwrite64", "copy_file_range", "fsetxattr", "lsetxattr", "fchown", "fchownat"}

// TestCommitWhenAFileOperationFails fails every operation of a commit on the
// files of layers, one at a time: on the container's changes, on the sealed
// copy, and when that is put on disk and packed.
func TestCommitWhenAFileOperationFails(t *testing.T) {
	e, in := newSysfaultEnv(t, "busybox")
	id := e.Run(t, "busybox", allKinds)
	allAttributes(t, e, id)
	want := e.Must(t, "exec", id, "sh", "-c", tellAll)
	before := e.StateAtRest(t)

	commit := func(fail step) (w *fileWatch, out string, err error) {
		w = watchFiles(t, e, fail)
		in.Set(w.plan)
		defer in.Set(nil)
		out, err = e.Try(t, "commit", id)
		return w, out, err
	}
	first, out, err := commit(step{})
	if err != nil {
		t.Fatalf("with nothing failing: %v: %s", err, out)
	}
	e.Must(t, "rmi", out)

	fired, harmless := 0, 0
	for _, s := range first.steps {
		w, out, err := commit(s)
		switch {
		case w.failed == 0:
			// Which of two workers meets a file may change what is asked.
			t.Logf("%v did not come by again", s)
		case err == nil:
			harmless++
			t.Logf("%v failed, and the commit did not", s)
		default:
			failedAt(t, e, id, s, w.failed, out)
		}
		if w.failed != 0 {
			fired++
		}
		if err == nil {
			if got := e.Must(t, "run", "--rm", out, "sh", "-c", tellAll); got != want {
				t.Errorf("%v failed, the commit did not, and the image holds\n%s\nwant\n%s", s, got, want)
			}
			e.Must(t, "rmi", out)
		}
		if err := before.Compare(e.State(t)); err != nil {
			e.SettledBut(t, s.String(), before)
		}
	}
	t.Logf("%d operations, %d were made to fail, %d of them without harm", len(first.steps), fired, harmless)
	if fired < len(first.steps)*9/10 {
		t.Errorf("of %d operations only %d could be made to fail", len(first.steps), fired)
	}
	if status := e.Inspect(t, id, "{{.State.Status}}"); status != "running" {
		t.Errorf("in the end the container is %s", status)
	}
	e.NoFilesLeft(t)
	if got := e.Must(t, "exec", id, "sh", "-c", tellAll); got != want {
		t.Errorf("in the end the container holds\n%s\nwant\n%s", got, want)
	}
}

// failedAt checks what a commit says of a failed operation: what it was to do,
// which file, and why.
func failedAt(t *testing.T, e *harness.Env, id string, s step, errno unix.Errno, out string) {
	t.Helper()
	_, file, _ := strings.Cut(s.Path, "/fs")
	file = strings.TrimPrefix(file, "/")
	for _, part := range []string{"commit container " + id[:12], errno.Error(), file} {
		if !strings.Contains(out, part) {
			t.Errorf("%v failed, and the message lacks %q: %s", s, part, out)
		}
	}
}
