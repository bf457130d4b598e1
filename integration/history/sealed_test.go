package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// sealedTrees tells of all committed snapshots what their folders hold. Where they are is
// noted in folders.
func sealedTrees(t *testing.T, e *harness.Env, folders map[string]string) map[string]string {
	t.Helper()
	var names []string
	err := e.Client.SnapshotService(harness.Snapshotter).Walk(e.Context(t), func(_ context.Context, i snapshots.Info) error {
		names = append(names, i.Name)
		return nil
	}, "kind==committed")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range names {
		if folders[name] == "" {
			folders[name] = e.SealedFolder(t, name)
		}
		if folders[name] != "" {
			texts[name] = harness.TreeText(t, folders[name])
		}
	}
	return texts
}

// sealedScript makes, changes and removes files of all kinds, a large one among
// them, each time that it runs.
const sealedScript = `n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n > /n
mkdir -p /s/sub /s/gone$n; dd if=/dev/urandom of=/s/large bs=1M count=17 2>/dev/null; ln -f /s/large /s/sub/twin
echo $n >> /s/log; echo $n > /s/new$n; rm -f /s/fifo$n; mkfifo /s/fifo$n; ln -sf new$n /s/link; chmod 4755 /s/log; chown 3:4 /s/sub; touch -d 2001-02-03 /s/sub
rm -rf /s/gone$((n - 1)) /s/new$((n - 2)) /etc/group; mv /s/sub/twin /s/twin$n; mkdir -p /s/opaque; rm -r /s/opaque; mkdir /s/opaque; echo more >> /etc/passwd
/fstool setxattr user.note krill$n /s/log`

// TestSealedIsNeverWritten goes through all verbs with a container, and looks after
// each whether it has changed anything in what was sealed before: in the images, in
// revisions, and in what was merged. Only times of change and numbers of names may
// have changed, by links.
func TestSealedIsNeverWritten(t *testing.T) {
	for name, config := range map[string]stack.Config{
		"plain": harness.SparingConfig(), "mapped by mounting": harness.UsernsConfig("mount", harness.SparingConfig().DaemonConfig), "mapped copy": harness.UsernsConfig("copy", harness.SparingConfig().DaemonConfig),
	} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, config, "busybox")
			e.BuildApp(t, "app:1", "")
			e.BuildApp(t, "app:2", "")
			everyVerbOnSealed(t, e)
		})
	}
}

// everyVerbOnSealed needs the images app:1 and app:2.
func everyVerbOnSealed(t *testing.T, e *harness.Env) {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) func() { return func() { e.Must(t, args...) } }
	again := run("exec", "first", "sh", "-ec", sealedScript)
	steps := []struct {
		name string
		do   func()
	}{
		{"run", run("run", "-d", "--network=none", "--stop-timeout=1", "--name", "first", "app:1")},
		{"cp into", run("cp", harness.BuildFSTool(t), "first:/fstool")},
		{"write", again},
		{"commit", run("commit", "first", "image:1")},
		{"snapshot of a running one", run("baleen", "snapshot", "first")},
		{"write again", again},
		{"stop", run("stop", "first")},
		{"sealing commit", run("commit", "first", "image:2")},
		{"snapshot", run("baleen", "snapshot", "first")},
		{"start", run("start", "first")},
		{"write over what is sealed", again},
		{"commit on sealed layers", run("commit", "first", "image:3")},
		{"diff", run("diff", "first")},
		{"ps -s", run("ps", "-as")},
		{"cp from", run("cp", "first:/s/log", dir)},
		{"export", run("export", "-o", filepath.Join(dir, "export.tar"), "first")},
		{"dry upgrade", run("baleen", "upgrade", "--dry-run", "first", "app:2")},
		{"upgrade", run("baleen", "upgrade", "--health-timeout", "1s", "first", "app:2")},
		{"write after the upgrade", again},
		{"rollback", run("baleen", "rollback", "first", "1")},
		{"write after the rollback", again},
		{"carry", run("baleen", "rollback", "--carry", "--policy", "keep", "first", "3")},
		{"write after that", again},
		{"checkpoint", run("baleen", "checkpoint", "--no-process", "--leave-running", "first", "kept")},
		{"checkpoint of a stopped one", func() { e.Must(t, "stop", "first"); e.Must(t, "baleen", "checkpoint", "first", "kept:2") }},
		{"restore", run("baleen", "restore", "--create-only", "--name", "second", "kept:2")},
		{"save", run("save", "-o", filepath.Join(dir, "saved.tar"), "image:1", "image:3")},
		{"build", func() { buildOnSealed(t, e) }},
		{"run of an image", run("run", "--rm", "--network=none", "image:2", "sh", "-ec", sealedScript)},
		{"start again", run("start", "first")},
		{"restart of the daemon", func() { e.RestartDockerd(t) }},
		{"prune", run("baleen", "prune", "--keep", "2", "first")},
		{"rmi", run("rmi", "-f", "image:1")},
		{"rm", run("rm", "-f", "first", "second")},
	}
	folders := map[string]string{}
	before := sealedTrees(t, e, folders)
	for _, s := range steps {
		s.do()
		after := sealedTrees(t, e, folders)
		for name, was := range before {
			if now, there := after[name]; there && now != was {
				t.Errorf("%s changed what is sealed as %s:\n%s", s.name, name, harness.LineDiff(was, now))
			}
		}
		before = after
	}
}

func buildOnSealed(t *testing.T, e *harness.Env) {
	t.Helper()
	out, err := e.Build(t, "FROM image:3\nRUN "+strings.ReplaceAll(sealedScript, "\n", "; ")+"\nCOPY file /s/log\n", "-t", "built")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestMergedIsNeverWritten merges layers of a container that has too many.
func TestMergedIsNeverWritten(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	k := newKept(t, e, "merged", harness.Snapshotter)
	k.MaxLayers = 4
	sealed, folders := map[string]string{}, map[string]string{}
	merged := false
	for n := range 8 {
		k.do(t, func(root string) {
			harness.WriteFile(t, filepath.Join(root, "same"), fmt.Sprint(n))
			harness.WriteFile(t, filepath.Join(root, fmt.Sprint("new", n)), fmt.Sprint(n))
			if err := errors.Join(os.MkdirAll(filepath.Join(root, "dir"), 0o750), os.RemoveAll(filepath.Join(root, fmt.Sprint("new", n-2)))); err != nil {
				t.Fatal(err)
			}
			harness.WriteFile(t, filepath.Join(root, "dir", fmt.Sprint(n)), "")
		})
		k.seal(t)
		now := sealedTrees(t, e, folders)
		for name, text := range now {
			if was, known := sealed[name]; known && was != text {
				t.Errorf("seal %d changed %s:\n%s", n, name, harness.LineDiff(was, text))
			}
			merged = merged || strings.Contains(name, ".c")
		}
		sealed = now
	}
	if !merged {
		t.Error("no layers were merged")
	}
}
