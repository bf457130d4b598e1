package containerstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	bolt "go.etcd.io/bbolt"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

const (
	driver    = "overlayfs"
	image     = "sha256:image" // the snapshot of one
	operation = "operation"    // the lease of one
)

// world is containerd's own metadata and content store, and a snapshotter, all in
// this process, with containers as Moby lays them out.
type world struct {
	ctx       context.Context
	db        *metadata.DB
	dir       string
	snapshots snapshots.Snapshotter
	leases    leases.Manager
	content   content.Store
	differ    containerstore.Differ
	copies    bool // the snapshots are whole copies
}

// eachSnapshotter runs a test on a snapshotter whose snapshots are stacks of folders,
// and on one whose snapshots are whole copies.
func eachSnapshotter(t *testing.T, test func(t *testing.T, w *world)) {
	if os.Getuid() != 0 {
		t.Skip("snapshots are root's")
	}
	for name, open := range map[string]func(string) (snapshots.Snapshotter, error){
		"overlay": func(root string) (snapshots.Snapshotter, error) { return overlay.New(root) },
		"native":  native.NewSnapshotter,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open)
			w.copies = name == "native"
			test(t, w)
		})
	}
}

func newWorld(t *testing.T, open func(string) (snapshots.Snapshotter, error)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{ctx: namespaces.WithNamespace(t.Context(), "moby"), dir: dir}
	sn, err := open(filepath.Join(dir, "snapshots"))
	must(t, err)
	store, err := local.NewStore(filepath.Join(dir, "content"))
	must(t, err)
	bdb, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bolt.Options{NoSync: true})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(sn.Close(), bdb.Close())) })
	w.db = metadata.NewDB(bdb, store, map[string]snapshots.Snapshotter{driver: sn})
	must(t, w.db.Init(w.ctx))
	w.snapshots, w.content, w.leases = w.db.Snapshotter(driver), w.db.ContentStore(), metadata.NewLeaseManager(w.db)
	w.differ = differ{walking.NewWalkingDiff(w.content), apply.NewFileSystemApplier(w.content)}
	w.fill(t, w.ctx, image, "", map[string]string{"one": "one", "two": "two"}, map[string]string{"containerd.io/gc.root": "test"})
	return w
}

// differ is containerd's own.
type differ struct {
	diff.Comparer
	diff.Applier
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a committed snapshot with files.
func (w *world) fill(t *testing.T, ctx context.Context, name, parent string, files, labels map[string]string) {
	t.Helper()
	mounts, err := w.snapshots.Prepare(ctx, name+"-key", parent, snapshots.WithLabels(labels))
	must(t, err)
	w.write(t, mounts, files)
	must(t, w.snapshots.Commit(ctx, name, name+"-key", snapshots.WithLabels(labels)))
}

func (w *world) write(t *testing.T, mounts []mount.Mount, files map[string]string) {
	t.Helper()
	must(t, w.in(mounts, func(root string) error {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
		return nil
	}))
}

// in mounts a snapshot in the folder of the test.
func (w *world) in(mounts []mount.Mount, f func(root string) error) (err error) {
	root, err := os.MkdirTemp(w.dir, "mount")
	if err != nil {
		return err
	}
	if err := mount.All(mounts, root); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(root, 0), os.Remove(root)) }()
	return f(root)
}

// box is a container, and the lease of the operation on it.
type box struct {
	*containerstore.History
	w      *world
	ctx    context.Context
	remake containerstore.Remake // by which it is opened
}

// container makes a container that stands on its init layer. Its life is that of the
// lease of its name.
func (w *world) container(t *testing.T, id string) *box {
	t.Helper()
	for _, lease := range []string{id, operation} {
		_, err := w.leases.Create(w.ctx, leases.WithID(lease))
		must(t, err)
	}
	birth := leases.WithLease(w.ctx, id)
	w.fill(t, birth, id+"-init", image, map[string]string{".dockerenv": ""}, nil)
	_, err := w.snapshots.Prepare(birth, id, id+"-init", snapshots.WithLabels(map[string]string{containerstore.LabelNoted: "1"}))
	must(t, err)
	return &box{w: w, ctx: leases.WithLease(w.ctx, operation), remake: unwritten, History: &containerstore.History{
		Container: id, Snapshotter: driver, Snapshots: w.snapshots, Content: w.content, Leases: w.leases, Tasks: noTasks{}, Lease: id, Differ: w.differ,
	}}
}

// gone removes a container, and all that is left of it.
func (b *box) gone(t *testing.T) {
	t.Helper()
	for _, lease := range []string{b.Container, operation} {
		must(t, b.w.leases.Delete(b.w.ctx, leases.Lease{ID: lease}))
	}
	_, err := b.w.db.GarbageCollect(b.w.ctx)
	must(t, err)
	var left []string
	must(t, b.w.snapshots.Walk(b.w.ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Name != image {
			left = append(left, i.Name)
		}
		return nil
	}))
	if len(left) > 0 {
		t.Errorf("snapshots outlive their container: %v", left)
	}
}

// set writes a file of the container.
func (b *box) set(t *testing.T, name, text string) {
	t.Helper()
	mounts, err := b.w.snapshots.Mounts(b.w.ctx, b.Container)
	must(t, err)
	b.w.write(t, mounts, map[string]string{name: text})
}

// upper is the folder of what the container writes; "" if there is none.
func (b *box) upper(ctx context.Context) string {
	mounts, err := b.w.snapshots.Mounts(ctx, b.Container)
	if err != nil {
		return ""
	}
	for _, option := range mounts[0].Options {
		if folder, ok := strings.CutPrefix(option, "upperdir="); ok {
			return folder
		}
	}
	return ""
}

// parent is what the active snapshot stands on.
func (b *box) parent(t *testing.T) string {
	t.Helper()
	active, err := b.w.snapshots.Stat(b.w.ctx, b.Container)
	must(t, err)
	return active.Parent
}

// files are the names and contents of the files that a snapshot shows, but for those of
// image and init layer that are as they were: "a=1 -two".
func (w *world) files(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	var all []string
	must(t, w.in(mounts, func(root string) error {
		entries, err := os.ReadDir(root)
		if err != nil {
			return err
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(root, e.Name()))
			if err != nil {
				return err
			}
			if e.Name() != ".dockerenv" && string(text) != e.Name() {
				all = append(all, e.Name()+"="+string(text))
			}
		}
		for _, name := range []string{".dockerenv", "one", "two"} {
			if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name }) {
				all = append(all, "-"+name)
			}
		}
		return nil
	}))
	slices.Sort(all)
	return strings.Join(all, " ")
}

// state tells what the container is, and each revision: "1<0 2<1* a=2; r1 a=1; r2 a=2".
func (b *box) state(t *testing.T) string {
	t.Helper()
	mounts, err := b.w.snapshots.Mounts(b.w.ctx, b.Container)
	if err != nil {
		return "no active snapshot: " + err.Error()
	}
	list, err := b.List(b.ctx)
	must(t, err)
	var numbers, contents []string
	for _, r := range list {
		number := fmt.Sprint(r.Number, "<", r.Previous)
		if r.Current {
			number += "*"
		}
		numbers = append(numbers, number)
		key := fmt.Sprint("look-", r.Number)
		view, err := b.w.snapshots.View(b.w.ctx, key, r.Snapshot)
		must(t, err)
		contents = append(contents, fmt.Sprintf("r%d %s", r.Number, b.w.files(t, view)))
		must(t, b.w.snapshots.Remove(b.w.ctx, key))
	}
	return strings.Join(append([]string{strings.Join(append(numbers, b.w.files(t, mounts)), " ")}, contents...), "; ")
}

func record(kind string) containerstore.Record {
	return containerstore.Record{Created: time.Now().UTC(), Kind: kind, Config: []byte(`{"Hostname":"x"}`)}
}
