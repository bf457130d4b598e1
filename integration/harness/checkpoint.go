package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/integration/stack"
)

// SealOwn has a container stand on what it wrote.
func (e *Env) SealOwn(t *testing.T, id string) {
	t.Helper()
	e.Must(t, "kill", id)
	e.Must(t, "baleen", "snapshot", id)
}

// ChangeTree has a container change its image in all the ways of a layer, when
// it starts for the first time.
const ChangeTree = "[ -L /tree/done ] || { cd /tree; rm -r gone gone-file file-to-dir dir-to-file dangling; mkdir gone file-to-dir; " +
	"echo new > gone/new; echo new > file-to-dir/new; echo file > dir-to-file; chmod 700 setuid; mkdir kept/deep; echo mixed > kept/deep/file; " +
	"mkfifo kept/pipe; ln kept/one kept/three; ln -s /nowhere done; }"

// MakeCheckpoint keeps a container in a checkpoint of that name, and returns what the
// command tells of it.
func (e *Env) MakeCheckpoint(t *testing.T, id, ref string) (made api.Checkpoint) {
	t.Helper()
	out := e.Must(t, "baleen", "checkpoint", "--no-process", "--format", "json", id, ref)
	if err := json.Unmarshal([]byte(LastLine(out)), &made); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return made
}

// LastLine returns what follows the last line break.
func LastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// Restore makes a container of a checkpoint.
func (e *Env) Restore(t *testing.T, ref string, options ...string) string {
	t.Helper()
	out := e.Must(t, append(append([]string{"baleen", "restore", "-q"}, options...), ref)...)
	id := LastLine(out)
	t.Cleanup(func() { e.Remove(t, id) })
	return id
}

// ReadCheckpoint reads a checkpoint as containerd has it.
func (e *Env) ReadCheckpoint(t *testing.T, ref string) *checkpoint.Checkpoint {
	t.Helper()
	record, err := e.Client.ImageService().Get(e.Context(t), "docker.io/library/"+ref)
	if err != nil {
		t.Fatal(err)
	}
	read, err := checkpoint.Read(e.Context(t), e.Client.ContentStore(), record.Target)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// NeedCRIU has the daemons of a test find CRIU, or skips it: `make criu` unpacks
// one that runs on this kernel.
func NeedCRIU(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")) // so it is as it was after the test
	if err := stack.FindCRIU(); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("criu")
	if err != nil {
		t.Skip("there is no CRIU: make criu")
	}
	if out, err := Output(exec.CommandContext(t.Context(), path, "check")); err != nil {
		t.Skipf("CRIU does not run here: %v: %s", err, out)
	}
}

// CounterScript counts into a file that it keeps open, from a variable. It notes how
// often it has begun, and does FIRST before.
const CounterScript = "eval \"$FIRST\"; echo x >> /begun; exec 3>/counted; n=0; while :; do n=$((n+1)); echo $n >&3; sleep 0.05; done"

// RunCounter starts a container that counts.
func (e *Env) RunCounter(t *testing.T, name string, options ...string) string {
	t.Helper()
	args := append([]string{"run", "-d", "--init=false", "--name", name}, options...)
	id := e.Must(t, append(args, "busybox", "sh", "-c", CounterScript)...)
	t.Cleanup(func() { e.Remove(t, id) })
	e.CountsPast(t, id, 3)
	return id
}

// Counted is the last number, and whether all before it are there once.
func (e *Env) Counted(t *testing.T, id string) int {
	t.Helper()
	out, err := e.Try(t, "exec", id, "cat", "/counted")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(out)
	for at, line := range lines {
		if n, err := strconv.Atoi(line); err != nil || n != at+1 {
			t.Fatalf("line %d of what was counted is %q", at+1, line)
		}
	}
	return len(lines)
}

// CountsPast waits until a container has counted past n, and returns how far it is.
func (e *Env) CountsPast(t *testing.T, id string, n int) (now int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("container %s to count past %d", id[:12], n), func() error {
		if now = e.Counted(t, id); now <= n {
			return fmt.Errorf("it is at %d", now)
		}
		return nil
	})
	return now
}

// RestoredImages lists the images that came with checkpoints alone.
func (e *Env) RestoredImages(t *testing.T) []string {
	t.Helper()
	return strings.Fields(e.Must(t, "images", "--format", "{{.Repository}}:{{.Tag}}", "baleen-restored.invalid/*"))
}

// RemoveRestoredImages removes the images that came with checkpoints alone.
func (e *Env) RemoveRestoredImages(t *testing.T) {
	t.Helper()
	for _, image := range e.RestoredImages(t) {
		e.Must(t, "rmi", image)
	}
}
