package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestRoundsOfFiles makes checkpoints of the files of what was restored.
func TestRoundsOfFiles(t *testing.T) {
	roundsOfChanges(t, harness.Start(t, stack.Config{}, "busybox"), "files")
}

// roundsImage is what roundsOfChanges changes. It has more than its changes by far.
const roundsImage = `FROM busybox
RUN mkdir -p /app/dir/deep /app/again && cd /app && dd if=/dev/urandom of=big bs=1M count=4 && \
	for n in 1 2 3; do echo image > changed$n; echo image > gone$n; echo image > dir/deep/$n; done && \
	echo image > again/image && echo image > remade
`

// roundScript changes, removes and makes again files of the image and of the rounds before.
// CRIU makes a directory in /tmp while it restores processes.
const roundScript = `touch /tmp; cd /app; n=%d
echo $n > new$n; echo $n >> new1; echo $n > brief$n; rm -f brief$((n-1))
echo $n >> changed$n; rm gone$n; rm remade; echo $n > remade
rm -r again; mkdir again; echo $n > again/$n
rm -rf made; mkdir made; echo $n > made/$n
case $n in 1) chmod 700 dir/deep/1;; 2) rm -r dir;; 3) mkdir dir; echo 3 > dir/back;; esac`

// roundsOfChanges: each container was restored of a checkpoint of the one before, which
// went through an archive, and has all changes of the rounds before. In the end the image
// is gone. A checkpoint holds what changed, and not the image again.
// podman#4606: files of the second round were not in the second checkpoint, and after a
// directory was removed the whole image was.
func roundsOfChanges(t *testing.T, e *harness.Env, kind string) {
	if out, err := e.Build(t, roundsImage, "-t", "rounds"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := e.Must(t, "run", "-d", "--init=false", "--stop-timeout=1", "--name", "clone0", "rounds", "sh", "-c", harness.CounterScript)
	t.Cleanup(func() { e.Remove(t, id) })
	const rounds = 3
	for n := 1; n <= rounds; n++ {
		e.CountsPast(t, id, 3)
		e.Must(t, "exec", id, "sh", "-ec", fmt.Sprintf(roundScript, n))
		files, diff := listApp(t, e, id), e.Must(t, "diff", id)
		ref := fmt.Sprint("round:", n)
		keepRound(t, e, id, ref, kind)
		archive := filepath.Join(t.TempDir(), "checkpoint.tar")
		e.Must(t, "save", "-o", archive, ref)
		e.Remove(t, id)
		e.Must(t, "rmi", ref)
		if n == rounds {
			e.Must(t, "rmi", "rounds", "busybox")
		}
		e.CollectGarbage(t)
		e.Must(t, "load", "-i", archive)
		id = e.Restore(t, ref, "--name", fmt.Sprint("clone", n), "--trust")
		if got := listApp(t, e, id); got != files {
			t.Errorf("round %d: the files that differ are\n%s", n, harness.LineDiff(files, got))
		}
		if got := e.Must(t, "diff", id); got != diff {
			t.Errorf("round %d: what differs in docker diff is\n%s", n, harness.LineDiff(diff, got))
		}
		if begun := e.Must(t, "exec", id, "cat", "/begun"); kind == "processes" && begun != "x" {
			t.Errorf("round %d: the processes have begun %d times", n, len(strings.Fields(begun)))
		}
	}
	if got := e.Must(t, "exec", id, "sh", "-c", "cd /app; echo *; cat new1"); got != "again big brief3 changed1 changed2 changed3 dir made new1 new2 new3 remade\n1\n1\n2\n3" {
		t.Errorf("in the end it has\n%s", got)
	}
	e.CountsPast(t, id, 3)
	files := listApp(t, e, id)
	e.Must(t, "baleen", "snapshot", id)
	e.Must(t, "exec", id, "sh", "-c", "rm -r /app/new1 /app/dir; echo more > /app/changed1")
	e.Must(t, "baleen", "rollback", id)
	if got := listApp(t, e, id); got != files {
		t.Errorf("after a rollback the files that differ are\n%s", harness.LineDiff(files, got))
	}
	keepRound(t, e, id, "round:last", kind)
}

// keepRound makes a checkpoint, in which little is new.
func keepRound(t *testing.T, e *harness.Env, id, ref, kind string) {
	t.Helper()
	args := []string{"baleen", "checkpoint", "--format", "json"}
	if kind == "files" {
		args = append(args, "--no-process")
	}
	out := e.Must(t, append(args, id, ref)...)
	var made api.Checkpoint
	if err := json.Unmarshal([]byte(harness.LastLine(out)), &made); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if made.Kind != kind || made.Layer <= 0 || made.Layer > 64<<10 || made.New > 1<<20 || made.Size < 4<<20 {
		t.Errorf("%s is %+v, in an image of more than 4 MiB", ref, made)
	}
}

// listApp tells what a container has in /app.
func listApp(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	return e.Must(t, "exec", id, "sh", "-c", "cd /app; find . | sort | xargs stat -c '%n %f %u:%g %Y'; find . -type f | sort | xargs md5sum")
}
