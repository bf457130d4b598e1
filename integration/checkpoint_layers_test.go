package integration_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/integration/stack"
)

// stackedChanges are what a container does to its files, each on top of the sealed
// ones before: what one has made the next ones delete, make again, turn into
// something else, and give more names.
var stackedChanges = []string{
	changeTree + "; cd /tree; head -c 50000000 /dev/urandom > large; echo a > a; ln a b; ln a c; mkdir -p d/e other; " +
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

// stacked makes a container that stands on sealed layers of its own.
func (e *env) stacked(t *testing.T) stacked {
	t.Helper()
	s := stacked{id: e.run(t, "tree", "true", "--name", "stacked"), want: t.TempDir()}
	for i, script := range stackedChanges {
		if i > 0 {
			e.sealOwn(t, s.id)
			e.docker(t, "start", s.id)
		}
		e.docker(t, "exec", s.id, "sh", "-ec", script)
	}
	s.keepTree(t, e)
	return s
}

// sealOwn has a container stand on what it wrote.
func (e *env) sealOwn(t *testing.T, id string) {
	t.Helper()
	e.docker(t, "kill", id)
	e.docker(t, "baleen", "snapshot", id)
}

// keepTree copies what the container has now.
func (s *stacked) keepTree(t *testing.T, e *env) {
	t.Helper()
	onRoot(t, e.activeMounts(t, snapshotter, s.id), func(root string) {
		if out, err := exec.Command("sh", "-ec", `rm -rf "$2" && cp -a "$1/tree" "$2"`, "-", root, s.want).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

func (e *env) activeMounts(t *testing.T, sn, id string) []mount.Mount {
	t.Helper()
	mounts, err := e.client.SnapshotService(sn).Mounts(e.ctx(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
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
func (e *env) own(t *testing.T, ref string) (own []digest.Digest) {
	t.Helper()
	for _, l := range e.readCheckpoint(t, ref).Own {
		own = append(own, l.Blob.Digest)
	}
	return own
}

// TestCheckpointSharesSealed: of a container on sealed layers each checkpoint packs
// what is active alone, and whoever reads it gets the same files.
func TestCheckpointSharesSealed(t *testing.T) {
	store := t.TempDir()
	e := forkWithTree(t)
	e.withRegistry(t, store)
	s := e.stacked(t)
	before := e.written(t)
	first := e.keep(t, s.id, "first:1")
	if n := e.written(t) - before; n < 50_000_000 || first.Layer < 50_000_000 || first.New < first.Layer {
		t.Errorf("the first checkpoint is %+v, and dockerd wrote %d bytes", first, n)
	}
	if own := e.own(t, "first:1"); len(own) != 3 {
		t.Fatalf("the container's layers are %v", own)
	}
	t.Run("the second packs what changed", func(t *testing.T) { packsWhatChanged(t, e, &s) })
	t.Run("nothing active", func(t *testing.T) { nothingActive(t, e, &s) })
	t.Run("packed again when it is gone", func(t *testing.T) { packedAgain(t, e, &s) })

	ref := registry + "/stacked:1"
	made := e.keep(t, s.id, ref)
	e.push(t, ref)
	archive := filepath.Join(store, "stacked.tar")
	e.docker(t, "save", "-o", archive, ref)
	t.Run("restored beside it", func(t *testing.T) { s.restoredIn(t, e, snapshotter, ref) })
	for name, config := range map[string]stack.Config{"overlay": {}, "native": {StorageDriver: "native"}} {
		t.Run("restored elsewhere on "+name, func(t *testing.T) {
			other := newEnv(t, config)
			other.withRegistry(t, store)
			other.docker(t, "pull", ref)
			sn := snapshotter
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

func packsWhatChanged(t *testing.T, e *env, s *stacked) {
	e.docker(t, "exec", s.id, "sh", "-c", "echo small > /tree/small; rm /tree/only")
	s.keepTree(t, e)
	before := e.written(t)
	made := e.keep(t, s.id, "second:1")
	written := e.written(t) - before
	t.Logf("dockerd wrote %d bytes; of %d in the checkpoint %d are new", written, made.Size, made.New)
	if written > 1<<20 || made.New > 1<<20 || made.Layer < 50_000_000 {
		t.Errorf("dockerd wrote %d bytes for the checkpoint %+v", written, made)
	}
	one, two := e.own(t, "first:1"), e.own(t, "second:1")
	if len(two) != 3 || one[0] != two[0] || one[1] != two[1] || one[2] == two[2] {
		t.Errorf("the first checkpoint has layers %v, and the second %v", one, two)
	}
}

// nothingActive: what was active is sealed, and gives the layer that it was.
func nothingActive(t *testing.T, e *env, s *stacked) {
	e.sealOwn(t, s.id)
	made := e.keep(t, s.id, "third:1")
	two, three := e.own(t, "second:1"), e.own(t, "third:1")
	if len(three) != 3 || three[2] != two[2] || made.New > 64<<10 {
		t.Errorf("the second checkpoint has layers %v, and the one of nothing new %v: %+v", two, three, made)
	}
	s.restoredIn(t, e, snapshotter, "third:1")
}

// packedAgain: the layers of a container go with the last checkpoint that has them.
func packedAgain(t *testing.T, e *env, s *stacked) {
	before := e.own(t, "third:1")
	e.docker(t, "rmi", "first:1", "second:1", "third:1")
	e.collect(t)
	if _, err := e.client.ContentStore().Info(e.ctx(t), before[0]); err == nil {
		t.Errorf("layer %s is still there", before[0])
	}
	made := e.keep(t, s.id, "third:1")
	if after := e.own(t, "third:1"); len(after) != 3 || after[0] != before[0] || made.New < 50_000_000 {
		t.Errorf("the layers were %v, and are %v: %+v", before, after, made)
	}
}

// restoredIn makes the container again.
func (s *stacked) restoredIn(t *testing.T, e *env, sn, ref string) {
	t.Helper()
	id := e.restore(t, ref, "--name", "again", "--create-only")
	onRoot(t, e.activeMounts(t, sn, id), func(root string) { s.is(t, root) })
	e.docker(t, "start", id)
	e.docker(t, "exec", id, "sh", "-ec", "cd /tree; rm -r d kept other; mkdir d; echo y > a; cat link")
	e.remove(t, id)
}

// throughStock: stock Docker unpacks a checkpoint like an image.
func (s *stacked) throughStock(t *testing.T, store, ref string, id digest.Digest) {
	e := newEnv(t, stack.Config{Flavor: stack.Stock})
	e.withRegistry(t, store)
	e.docker(t, "pull", ref)
	e.docker(t, "tag", ref, registry+"/on/stacked:1")
	if got := e.push(t, registry+"/on/stacked:1"); got != id {
		t.Errorf("stock pushed the checkpoint %s as %s", id, got)
	}
	chain := e.inspect(t, ref, "{{json .RootFS.Layers}}")
	name := e.docker(t, "create", ref, "none")
	defer e.remove(t, name)
	t.Logf("its layers are %s", chain)
	onRoot(t, e.activeMounts(t, snapshotter, name), func(root string) { s.is(t, root) })
}

// restoredPlain makes the container of containerd alone.
func (s *stacked) restoredPlain(t *testing.T, e *plainEnv, archive string) {
	r := e.restored(t, "again", e.imported(t, archive))
	r.do(t, func(root string) { s.is(t, root) })
}

// TestCheckpointOfReservedNameThatIsGone: a file that no layer can hold is not in the
// way of a checkpoint when it is gone, also if a sealed layer still has it.
func TestCheckpointOfReservedNameThatIsGone(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "true")
	e.docker(t, "exec", id, "sh", "-c", "mkdir /d; echo x > /d/.wh.x; echo y > /d/y")
	e.sealOwn(t, id)
	e.docker(t, "start", id)
	e.docker(t, "exec", id, "rm", "/d/.wh.x")
	e.keep(t, id, "gone:1")
	again := e.restore(t, "gone:1", "--name", "again")
	if got := e.docker(t, "exec", again, "ls", "-A", "/d"); got != "y" {
		t.Errorf("the restored container has %q", got)
	}
}

// TestCheckpointTellsBytes: what a checkpoint packs and a restore unpacks is told
// while it goes on, in bytes.
func TestCheckpointTellsBytes(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.run(t, "busybox", "head -c 50000000 /dev/urandom > /large")
	e.tellsBytes(t, "/containers/"+id+"/checkpoint", api.CheckpointRequest{Ref: "large:1", NoProcess: true}, "reading what it changed", 50_000_000)
	e.tellsBytes(t, "/checkpoints/restore", api.RestoreRequest{Ref: "large:1", Name: "again"}, "creating the container",
		e.readCheckpoint(t, "large:1").Own[0].Blob.Size)
	e.remove(t, "again")
}

func (e *env) tellsBytes(t *testing.T, path string, request any, step string, total int64) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.open(t.Context(), http.MethodPost, path, string(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var (
		told    api.ProgressDetail
		present string
	)
	for dec := json.NewDecoder(resp.Body); ; {
		var p api.Progress
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil || p.Error != "" {
			t.Fatal(err, p.Error)
		}
		if p.Status != "" {
			present = p.Status
		}
		if d := p.ProgressDetail; d != nil {
			if d.Current < told.Current || d.Total != total || present != step {
				t.Errorf("%q: after %+v came %+v", present, told, *d)
			}
			told = *d
		}
	}
	if told.Current != total {
		t.Errorf("in the end %d of %d bytes are told", told.Current, total)
	}
}
