package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// stackedChanges are what a container does to its files, each on top of the sealed
// ones before: what one has made the next ones delete, make again, turn into
// something else, and give more names.
var stackedChanges = []string{
	harness.ChangeTree + "; cd /tree; head -c 50000000 /dev/urandom > large; echo a > a; ln a b; ln a c; mkdir -p d/e other; " +
		"echo 1 > d/e/f; echo x > type; touch other/x; echo o > only; ln -s d link; mkfifo pipe",
	"cd /tree; rm b; echo more >> c; rm -r d; mkdir d; echo 2 > d/g; rm type; mkdir type; echo in > type/in; " +
		"rm -r other; echo file > other; rm only; rm -r kept/deep; rm link; mkdir link; mv gone/new moved; chmod 751 gone",
	"cd /tree; rm -r d type; echo again > type; rm other; mkdir other; touch other/y; ln a linked; echo o > only; " +
		"mkdir kept/deep; rmdir link; ln -s type link; mkdir d; rm done",
}

// stacked is a container on sealed layers.
type stacked struct {
	id   string
	want string // a copy of its tree
}

// newStacked makes a container that stands on sealed layers of its own.
func newStacked(t *testing.T, e *harness.Env) stacked {
	t.Helper()
	s := stacked{id: e.Run(t, "tree", "true", "--name", "stacked"), want: t.TempDir()}
	for i, script := range stackedChanges {
		if i > 0 {
			e.SealOwn(t, s.id)
			e.Must(t, "start", s.id)
		}
		e.Must(t, "exec", s.id, "sh", "-ec", script)
	}
	s.keepTree(t, e)
	return s
}

// keepTree copies what the container has now.
func (s *stacked) keepTree(t *testing.T, e *harness.Env) {
	t.Helper()
	onRoot(t, e.ActiveMounts(t, harness.Snapshotter, s.id), func(root string) {
		if out, err := exec.Command("sh", "-ec", `rm -rf "$2" && cp -a "$1/tree" "$2"`, "-", root, s.want).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

func onRoot(t *testing.T, mounts []mount.Mount, f func(root string)) {
	t.Helper()
	if err := mount.WithReadonlyTempMount(t.Context(), mounts, func(root string) error { f(root); return nil }); err != nil {
		t.Fatal(err)
	}
}

// is fails the test if a tree is not what the container had.
func (s *stacked) is(t *testing.T, root string) {
	t.Helper()
	// The native snapshotter gives the directories of an image other times.
	untouched := func(path string) bool { return path == "/opaque" }
	err := compare.Trees(t.Context(), s.want, filepath.Join(root, "tree"), compare.Options{Ignore: untouched})
	if err == nil {
		err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil {
				_, err = entry.Info() // marks in the wrong place are listed, and not there
			}
			return err
		})
	}
	if err != nil {
		t.Error(err)
	}
}

// own are the layers that a checkpoint has of the container, and not of its image.
func own(t *testing.T, e *harness.Env, ref string) (own []digest.Digest) {
	t.Helper()
	for _, l := range e.ReadCheckpoint(t, ref).Own {
		own = append(own, l.Blob.Digest)
	}
	return own
}

// TestCheckpointSharesSealed: of a container on sealed layers each checkpoint packs
// what is active alone, and whoever reads it gets the same files.
func TestCheckpointSharesSealed(t *testing.T) {
	store := t.TempDir()
	e := harness.StartWithTree(t)
	e.WithRegistry(t, store)
	s := newStacked(t, e)
	before := e.BytesWritten(t)
	first := e.MakeCheckpoint(t, s.id, "first:1")
	if n := e.BytesWritten(t) - before; n < 50_000_000 || first.Layer < 50_000_000 || first.New < first.Layer {
		t.Errorf("the first checkpoint is %+v, and dockerd wrote %d bytes", first, n)
	}
	if own := own(t, e, "first:1"); len(own) != 3 {
		t.Fatalf("the container's layers are %v", own)
	}
	t.Run("the second packs what changed", func(t *testing.T) { packsWhatChanged(t, e, &s) })
	t.Run("nothing active", func(t *testing.T) { nothingActive(t, e, &s) })
	t.Run("packed again when it is gone", func(t *testing.T) { packedAgain(t, e, &s) })

	ref := harness.RegistryAddress + "/stacked:1"
	made := e.MakeCheckpoint(t, s.id, ref)
	e.Push(t, ref)
	archive := filepath.Join(store, "stacked.tar")
	e.Must(t, "save", "-o", archive, ref)
	t.Run("restored beside it", func(t *testing.T) { s.restoredIn(t, e, harness.Snapshotter, ref) })
	for name, config := range map[string]stack.Config{"overlay": {}, "native": {StorageDriver: "native"}} {
		t.Run("restored elsewhere on "+name, func(t *testing.T) {
			other := harness.Start(t, config)
			other.WithRegistry(t, store)
			other.Must(t, "pull", ref)
			sn := harness.Snapshotter
			if config.StorageDriver != "" {
				sn = config.StorageDriver
			}
			s.restoredIn(t, other, sn, ref)
		})
	}
	t.Run("unpacked by stock", func(t *testing.T) { s.throughStock(t, store, ref, made.ID) })
	for _, sn := range []string{"overlayfs", "native"} {
		t.Run("restored by containerd's client on "+sn, func(t *testing.T) {
			s.restoredPlain(t, newPlainEnv(t, e.ContainerdAddress(), "stacked-"+sn, sn), archive)
		})
	}
}

func packsWhatChanged(t *testing.T, e *harness.Env, s *stacked) {
	e.Must(t, "exec", s.id, "sh", "-c", "echo small > /tree/small; rm /tree/only")
	s.keepTree(t, e)
	before := e.BytesWritten(t)
	made := e.MakeCheckpoint(t, s.id, "second:1")
	written := e.BytesWritten(t) - before
	t.Logf("dockerd wrote %d bytes; of %d in the checkpoint %d are new", written, made.Size, made.New)
	if written > 1<<20 || made.New > 1<<20 || made.Layer < 50_000_000 {
		t.Errorf("dockerd wrote %d bytes for the checkpoint %+v", written, made)
	}
	one, two := own(t, e, "first:1"), own(t, e, "second:1")
	if len(two) != 3 || one[0] != two[0] || one[1] != two[1] || one[2] == two[2] {
		t.Errorf("the first checkpoint has layers %v, and the second %v", one, two)
	}
}

// nothingActive: what was active is sealed, and gives the layer that it was.
func nothingActive(t *testing.T, e *harness.Env, s *stacked) {
	e.SealOwn(t, s.id)
	made := e.MakeCheckpoint(t, s.id, "third:1")
	two, three := own(t, e, "second:1"), own(t, e, "third:1")
	if len(three) != 3 || three[2] != two[2] || made.New > 64<<10 {
		t.Errorf("the second checkpoint has layers %v, and the one of nothing new %v: %+v", two, three, made)
	}
	s.restoredIn(t, e, harness.Snapshotter, "third:1")
}

// packedAgain: the layers of a container go with the last checkpoint that has them.
func packedAgain(t *testing.T, e *harness.Env, s *stacked) {
	before := own(t, e, "third:1")
	e.Must(t, "rmi", "first:1", "second:1", "third:1")
	e.CollectGarbage(t)
	if _, err := e.Client.ContentStore().Info(e.Context(t), before[0]); err == nil {
		t.Errorf("layer %s is still there", before[0])
	}
	made := e.MakeCheckpoint(t, s.id, "third:1")
	if after := own(t, e, "third:1"); len(after) != 3 || after[0] != before[0] || made.New < 50_000_000 {
		t.Errorf("the layers were %v, and are %v: %+v", before, after, made)
	}
}

// restoredIn makes the container again.
func (s *stacked) restoredIn(t *testing.T, e *harness.Env, sn, ref string) {
	t.Helper()
	id := e.Restore(t, ref, "--name", "again", "--create-only")
	onRoot(t, e.ActiveMounts(t, sn, id), func(root string) { s.is(t, root) })
	e.Must(t, "start", id)
	e.Must(t, "exec", id, "sh", "-ec", "cd /tree; rm -r d kept other; mkdir d; echo y > a; cat link")
	e.Remove(t, id)
}

// throughStock: stock Docker unpacks a checkpoint like an image.
func (s *stacked) throughStock(t *testing.T, store, ref string, id digest.Digest) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock})
	e.WithRegistry(t, store)
	e.Must(t, "pull", ref)
	e.Must(t, "tag", ref, harness.RegistryAddress+"/on/stacked:1")
	if got := e.Push(t, harness.RegistryAddress+"/on/stacked:1"); got != id {
		t.Errorf("stock pushed the checkpoint %s as %s", id, got)
	}
	chain := e.Inspect(t, ref, "{{json .RootFS.Layers}}")
	name := e.Must(t, "create", ref, "none")
	defer e.Remove(t, name)
	t.Logf("its layers are %s", chain)
	onRoot(t, e.ActiveMounts(t, harness.Snapshotter, name), func(root string) { s.is(t, root) })
}

// restoredPlain makes the container of containerd alone.
func (s *stacked) restoredPlain(t *testing.T, e *plainEnv, archive string) {
	saved := e.imported(t, archive)
	r := e.restored(t, "again", saved)
	r.do(t, func(root string) { s.is(t, root) })

	mounts, err := e.client.SnapshotService(e.snapshotter).Prepare(e.ctx, "with-files", r.snapshot(t).Parent, rooted)
	if err != nil {
		t.Fatal(err)
	}
	err = mount.WithTempMount(e.ctx, mounts, func(root string) error { return os.WriteFile(filepath.Join(root, "mine"), nil, 0o644) })
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.client.NewContainer(e.ctx, "onto", containerd.WithSnapshotter(e.snapshotter), containerd.WithSnapshot("with-files"), clientopts.WithCheckpoint(saved))
	if err != nil {
		t.Fatal(err)
	}
	(&plainCtr{e, c}).do(t, func(root string) {
		s.is(t, root)
		if _, err := os.Stat(filepath.Join(root, "mine")); err != nil {
			t.Error(err)
		}
	})
	if err := c.Delete(e.ctx, containerd.WithSnapshotCleanup); err != nil {
		t.Error(err)
	}
}
