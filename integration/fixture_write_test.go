package integration_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/fixture"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestWriteFixture writes a data root and what it holds to the path that
// BALEEN_FIXTURE names, in the name of the commit in BALEEN_FIXTURE_COMMIT, with
// the programs in BALEEN_BIN: see integration/fixture/make.sh.
func TestWriteFixture(t *testing.T) {
	path := os.Getenv("BALEEN_FIXTURE")
	if path == "" {
		t.Skip("integration/fixture/make.sh runs this, to write a data root with an earlier version")
	}
	w := &fixtureWriter{root: shortRoot(t)}
	w.phase(t, fixture.Daemon{
		Name: "own snapshotter", Driver: "baleen", Namespace: "moby-own", Config: map[string]any{"containerd-namespace": "moby-own"},
	}, w.fillOwn)
	data := filepath.Join(w.root, "data")
	letThrough(t, data) // as dockerd asks for
	mapped := usernsConfig("", nil)
	delete(mapped.DaemonConfig, "containerd-namespace")
	w.phase(t, fixture.Daemon{
		Name: "mapped ids", Namespace: "moby-100000.100000", Config: mapped.DaemonConfig, Etc: mapped.Etc,
	}, w.fillMapped)
	w.phase(t, fixture.Daemon{Name: "plain", Namespace: "moby"}, w.fillPlain)
	letThrough(t, data)
	if err := stack.Pack(w.root, path); err != nil {
		t.Fatal(err)
	}

	// What the same version finds in it is what later ones have to find.
	f := &fixture.Fixture{Commit: os.Getenv("BALEEN_FIXTURE_COMMIT"), Daemons: w.daemons}
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	for i, d := range f.Daemons {
		t.Run(d.Name, func(t *testing.T) {
			e := newEnv(t, f.On(stack.Config{}, d))
			found := e.observe(t, d)
			w.wrote(t, d, &found)
			f.Daemons[i] = found
			e.clear(t, d)
		})
	}
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
}

// shortRoot is a path for the root of a stack, which the test's end removes.
func shortRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "bf-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	letThrough(t, dir)
	return filepath.Join(dir, "s")
}

// letThrough lets users of a user namespace through a folder.
func letThrough(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
}

// fixtureWriter fills a data root by one daemon after the other.
type fixtureWriter struct {
	root    string
	daemons []fixture.Daemon
	// known has the files of revisions, by container and number.
	known map[string][]string
}

// phase starts a daemon on the root, fills it, and ends all at once.
func (w *fixtureWriter) phase(t *testing.T, d fixture.Daemon, fill func(*testing.T, *env, *fault.Proxy, *fixture.Daemon)) {
	t.Run("fill "+d.Name, func(t *testing.T) {
		config := d.On(stack.Config{Root: w.root, KeepRoot: true})
		e, p := newFaultEnvWith(t, config, "busybox")
		for _, n := range []string{"1", "2"} {
			e.fixtureApp(t, n)
		}
		fill(t, e, p, &d)
		w.daemons = append(w.daemons, d)
		if e.Pid(stack.Dockerd) != 0 {
			if err := e.KillDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

// fixtureApp builds an image that differs from other versions as images do.
func (e *env) fixtureApp(t *testing.T, version string) {
	t.Helper()
	out, err := e.build(t, fmt.Sprintf(`FROM busybox
RUN mkdir -p /app /data /opaque && echo %[1]s > /app/version && echo "conf %[1]s" > /app/conf && echo gone > /app/gone \
	&& echo moved > /app/moved && echo only > /app/only%[1]s && echo old > /opaque/old && chown 5:6 /app/moved && chmod 4755 /app/moved
ENV FROM_IMAGE=%[1]s
CMD ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
`, version), "-t", "app:"+version)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// fixtureChanges has one of each kind of change.
const fixtureChanges = `set -e
mkdir -p /data/sub
for i in 1 2 3; do echo "$1 $i" > /data/$i; done
yes "$1" | head -c 100000 > /data/big
echo "mine $1" > /app/conf
rm /app/gone
rm -r /opaque; mkdir /opaque; echo new > /opaque/new
ln /data/1 /data/one
ln -s nowhere /data/link
chown 7:8 /data/2 /data
chmod 2751 /data
chmod 6755 /data/3
mkfifo /data/fifo
mknod /data/null c 1 3 2>/dev/null || : # not in a user namespace
mv /app/moved /data/moved
touch -d @86400 /data/sub
dd if=/dev/null of=/data/hole bs=1 seek=100000 2>/dev/null
sync`

// change makes the changes in a running container, and gives it a file with
// extended attributes.
func (w *fixtureWriter) change(t *testing.T, e *env, name, word string) {
	t.Helper()
	e.docker(t, "exec", name, "sh", "-c", fixtureChanges, "sh", word)
	var b bytes.Buffer
	stream := tar.NewWriter(&b)
	h := &tar.Header{Name: "capable", Mode: 0o755, Format: tar.FormatPAX, PAXRecords: map[string]string{
		// cap_net_raw, permitted and effective.
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}}
	if err := stream.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := e.Docker(t.Context(), "cp", "-", name+":/data")
	cmd.Stdin = &b
	if out, err := output(cmd); err != nil {
		t.Fatalf("docker cp: %v: %s", err, out)
	}
}

// running makes a container that has changed files, and runs.
func (w *fixtureWriter) running(t *testing.T, e *env, name string, args ...string) {
	t.Helper()
	e.docker(t, append([]string{"run", "-d", "--name", name, "-e", "OWNER=Ishmael"}, args...)...)
	w.change(t, e, name, name)
}

// stopped makes a container that has changed files, and does not run any more.
func (w *fixtureWriter) stopped(t *testing.T, e *env, name string, args ...string) {
	t.Helper()
	w.running(t, e, name, args...)
	e.docker(t, "stop", name)
}

// keep keeps a revision, and notes its files.
func (w *fixtureWriter) keep(t *testing.T, e *env, name, message string) {
	t.Helper()
	w.note(t, e, name, e.snapshot(t, name, message).Number)
}

func (w *fixtureWriter) note(t *testing.T, e *env, name string, number int) {
	t.Helper()
	if w.known == nil {
		w.known = map[string][]string{}
	}
	w.known[fmt.Sprint(name, " ", number)] = e.tree(t, name)
}

// history makes a container with five revisions or more of all kinds.
func (w *fixtureWriter) history(t *testing.T, e *env, name string) {
	t.Helper()
	w.running(t, e, name, "app:1")
	w.keep(t, e, name, "while it runs") // 1
	e.docker(t, "exec", name, "sh", "-c", "rm /data/2 /data/big; echo later > /data/1; mkdir -m 700 /later")
	e.docker(t, "stop", name)
	w.keep(t, e, name, "while it is stopped") // 2
	e.docker(t, "start", name)
	e.docker(t, "exec", name, "sh", "-c", "echo before the upgrade > /data/1")
	e.docker(t, "stop", name)
	files := e.tree(t, name)
	_, moved := e.upgrade(t, name, api.UpgradeRequest{Image: "app:2", Message: "to version 2"})
	w.known[fmt.Sprint(name, " ", moved.Before.Number)] = files
	w.note(t, e, name, moved.Revision.Number)
	e.docker(t, "start", name)
	e.docker(t, "exec", name, "sh", "-c", "echo with version 2 > /data/4; echo with version 2 >> /app/conf")
	e.docker(t, "stop", name)
	files = e.tree(t, name)
	_, moved = e.rollback(t, name, api.RollbackRequest{Revision: 2, Message: "and back"})
	w.known[fmt.Sprint(name, " ", moved.Before.Number)] = files
	e.docker(t, "start", name)
	e.docker(t, "exec", name, "sh", "-c", "echo at last > /data/4")
	e.docker(t, "stop", name)
}

func (w *fixtureWriter) fillOwn(t *testing.T, e *env, _ *fault.Proxy, d *fixture.Daemon) {
	e.docker(t, "create", "--name", "own-created", "app:1")
	w.history(t, e, "own-history")
	e.docker(t, "commit", "own-history", "own:committed")
	d.Containers = append(containersIn("created", "own-created"), containersIn("exited", "own-history")...)
	d.Images = []fixture.Image{{Name: "app:1"}, {Name: "app:2"}, {Name: "own:committed"}}
}

func (w *fixtureWriter) fillMapped(t *testing.T, e *env, p *fault.Proxy, d *fixture.Daemon) {
	e.docker(t, "create", "--name", "mapped-created", "app:1")
	w.history(t, e, "mapped-history")
	e.docker(t, "commit", "mapped-history", "mapped:committed")
	d.Containers = append(containersIn("created", "mapped-created"), containersIn("exited", "mapped-history")...)
	d.Images = []fixture.Image{{Name: "app:1"}, {Name: "app:2"}, {Name: "mapped:committed"}}
	w.cut(t, e, p, d, 5)
}

func (w *fixtureWriter) fillPlain(t *testing.T, e *env, p *fault.Proxy, d *fixture.Daemon) {
	e.docker(t, "create", "--name", "created", "-e", "OWNER=Ahab", "app:1")
	w.stopped(t, e, "stopped", "-v", "volume:/vol", "app:1")
	w.running(t, e, "running", "-v", "volume:/vol", "app:1")
	e.docker(t, "exec", "running", "sh", "-c", "echo in the volume > /vol/file")
	w.running(t, e, "always", "--restart=always", "app:1")
	w.history(t, e, "history")
	e.docker(t, "commit", "-m", "committed", "stopped", "app:committed")
	e.docker(t, "baleen", "checkpoint", "-q", "--no-process", "running", "kept:running")
	e.docker(t, "baleen", "checkpoint", "-q", "history", "kept:history")
	d.Containers = slices.Concat(containersIn("created", "created"), containersIn("exited", "stopped", "running", "history"), containersIn("running", "always"))
	d.Images = []fixture.Image{{Name: "app:1"}, {Name: "app:2"}, {Name: "app:committed"}}
	d.Checkpoints = []fixture.Checkpoint{{Name: "kept:running"}, {Name: "kept:history"}}
	w.cut(t, e, p, d, 3)
}

// containersIn returns containers of the names, which have that status after a start of the
// daemon.
func containersIn(status string, names ...string) (all []fixture.Container) {
	for _, n := range names {
		all = append(all, fixture.Container{Name: n, Status: status})
	}
	return all
}

// wrote compares what the daemon has found with what was written: revisions have
// their files, and a cut container is in the state before or after. It tells by
// that whether the operation was past the point of no return.
func (w *fixtureWriter) wrote(t *testing.T, written fixture.Daemon, found *fixture.Daemon) {
	t.Helper()
	for i := range found.Containers {
		c := &found.Containers[i]
		for _, r := range c.Revisions {
			if files, ok := w.known[fmt.Sprint(c.Name, " ", r.Number)]; ok {
				sameLines(t, fmt.Sprintf("files of revision %d of %s", r.Number, c.Name), r.Files, files)
			}
		}
		if c.Cut == nil {
			continue
		}
		cut := *c.Cut
		if old := written.Containers[i].State; isOf(c.State, old) {
			cut.Done = false
		} else if new := cut.New.Timeless(); reflect.DeepEqual(c.Timeless(), new) {
			cut.Done, cut.New = true, nil
		} else {
			t.Errorf("%s is neither\n%+v\nnor\n%+v\nbut\n%+v", c.Name, old.Timeless(), new, c.Timeless())
		}
		c.Cut = &cut
		t.Logf("%s, cut at %s: done is %v", c.Name, cut.Where, cut.Done)
	}
}

// isOf compares what a container is, and not its revisions.
func isOf(a, b fixture.State) bool {
	return a.Image == b.Image && slices.Equal(a.Env, b.Env) && slices.Equal(a.Files, b.Files)
}
