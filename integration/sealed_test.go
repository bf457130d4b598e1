package integration_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

// treeText tells all that a folder holds: names, contents, types, modes, owners,
// times of modification and extended attributes. Not the times of access and
// change, and the numbers of names: those a link changes.
func treeText(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		size := st.Size
		if d.IsDir() {
			size = 0
		}
		content, err := contentOf(path, d)
		if err != nil {
			return err
		}
		attrs, err := attributesOf(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%q %o %d:%d %x %d %d.%09d %s %s\n", strings.TrimPrefix(path, folder), st.Mode, st.Uid, st.Gid, st.Rdev, size,
			st.Mtim.Sec, st.Mtim.Nsec, content, attrs)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// contentOf is a digest of a file's content, or a link's text.
func contentOf(path string, d fs.DirEntry) (string, error) {
	switch {
	case d.Type() == fs.ModeSymlink:
		return os.Readlink(path)
	case !d.Type().IsRegular():
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return fmt.Sprintf("%x", sum.Sum(nil)), errors.Join(err, f.Close())
}

// attributesOf lists the extended attributes of a file.
func attributesOf(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	list := strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00")
	slices.Sort(list)
	var text strings.Builder
	for _, name := range list {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, " %s=%x", name, value[:n])
	}
	return text.String(), nil
}

// sealedFolder is where the files of a committed snapshot lie; "" if it is gone.
func (e *env) sealedFolder(t *testing.T, name string) string {
	t.Helper()
	ctx, done, err := e.client.WithLease(e.ctx(t)) // or else the view is garbage
	if err != nil {
		t.Fatal(err)
	}
	const key = "look-at-sealed"
	sn := e.client.SnapshotService(snapshotter)
	mounts, err := sn.View(ctx, key, name)
	if errdefs.IsNotFound(err) { // it was garbage
		if err := done(ctx); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	if err := errors.Join(err, sn.Remove(ctx, key), done(ctx)); err != nil {
		t.Fatal(err)
	}
	if mounts[0].Type == "bind" {
		return mounts[0].Source
	}
	return topLayer(t, mounts)
}

// sealed tells of all committed snapshots what their folders hold. Where they are is
// noted in folders.
func (e *env) sealed(t *testing.T, folders map[string]string) map[string]string {
	t.Helper()
	var names []string
	err := e.client.SnapshotService(snapshotter).Walk(e.ctx(t), func(_ context.Context, i snapshots.Info) error {
		names = append(names, i.Name)
		return nil
	}, "kind==committed")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range names {
		if folders[name] == "" {
			folders[name] = e.sealedFolder(t, name)
		}
		if folders[name] != "" {
			texts[name] = treeText(t, folders[name])
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
		"plain": sparingConfig(), "mapped by mounting": usernsConfig("mount", sparingConfig().DaemonConfig), "mapped copy": usernsConfig("copy", sparingConfig().DaemonConfig),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, config, "busybox")
			e.app(t, "app:1", "")
			e.app(t, "app:2", "")
			e.everyVerbOnSealed(t)
		})
	}
}

// everyVerbOnSealed needs the images app:1 and app:2.
func (e *env) everyVerbOnSealed(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) func() { return func() { e.docker(t, args...) } }
	again := run("exec", "first", "sh", "-ec", sealedScript)
	steps := []struct {
		name string
		do   func()
	}{
		{"run", run("run", "-d", "--network=none", "--stop-timeout=1", "--name", "first", "app:1")},
		{"cp into", run("cp", buildFSTool(t), "first:/fstool")},
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
		{"checkpoint of a stopped one", func() { e.docker(t, "stop", "first"); e.docker(t, "baleen", "checkpoint", "first", "kept:2") }},
		{"restore", run("baleen", "restore", "--create-only", "--name", "second", "kept:2")},
		{"save", run("save", "-o", filepath.Join(dir, "saved.tar"), "image:1", "image:3")},
		{"build", func() {
			if out, err := e.build(t, "FROM image:3\nRUN "+strings.ReplaceAll(sealedScript, "\n", "; ")+"\nCOPY file /s/log\n", "-t", "built"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}},
		{"run of an image", run("run", "--rm", "--network=none", "image:2", "sh", "-ec", sealedScript)},
		{"start again", run("start", "first")},
		{"restart of the daemon", func() { e.restart(t) }},
		{"prune", run("baleen", "prune", "--keep", "2", "first")},
		{"rmi", run("rmi", "-f", "image:1")},
		{"rm", run("rm", "-f", "first", "second")},
	}
	folders := map[string]string{}
	before := e.sealed(t, folders)
	for _, s := range steps {
		s.do()
		after := e.sealed(t, folders)
		for name, was := range before {
			if now, there := after[name]; there && now != was {
				t.Errorf("%s changed what is sealed as %s:\n%s", s.name, name, lineDiff(was, now))
			}
		}
		before = after
	}
}

// TestMergedIsNeverWritten merges layers of a container that has too many.
func TestMergedIsNeverWritten(t *testing.T) {
	e := newEnv(t, stack.Config{})
	k := newKept(t, e, "merged", snapshotter)
	k.MaxLayers = 4
	sealed, folders := map[string]string{}, map[string]string{}
	merged := false
	for n := range 8 {
		k.do(t, func(root string) {
			write(t, filepath.Join(root, "same"), fmt.Sprint(n))
			write(t, filepath.Join(root, fmt.Sprint("new", n)), fmt.Sprint(n))
			if err := errors.Join(os.MkdirAll(filepath.Join(root, "dir"), 0o750), os.RemoveAll(filepath.Join(root, fmt.Sprint("new", n-2)))); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(root, "dir", fmt.Sprint(n)), "")
		})
		k.seal(t)
		now := e.sealed(t, folders)
		for name, text := range now {
			if was, known := sealed[name]; known && was != text {
				t.Errorf("seal %d changed %s:\n%s", n, name, lineDiff(was, text))
			}
			merged = merged || strings.Contains(name, ".c")
		}
		sealed = now
	}
	if !merged {
		t.Error("no layers were merged")
	}
}
