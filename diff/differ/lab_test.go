package differ_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	bolt "go.etcd.io/bbolt"

	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/differ"
)

// lab is a content store and snapshotters, as containerd has them.
type lab struct {
	*testing.T
	ctx   context.Context
	store content.Store
	d     *differ.Differ
	told  bytes.Buffer // what the log says
	db    *metadata.DB
	n     int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting snapshots needs root")
	}
	dir := t.TempDir()
	store, err := local.NewStore(filepath.Join(dir, "content"))
	check(t, err)
	ov, err := overlay.NewSnapshotter(filepath.Join(dir, "overlay"))
	check(t, err)
	nat, err := native.NewSnapshotter(filepath.Join(dir, "native"))
	check(t, err)
	bdb, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(ov.Close(), nat.Close(), bdb.Close())) })
	l := &lab{T: t, db: metadata.NewDB(bdb, store, map[string]snapshots.Snapshotter{"overlay": ov, "native": nat})}
	check(t, l.db.Init(t.Context()))
	l.store = l.db.ContentStore()
	l.d = differ.New(l.store, differ.Options{})
	logger := logrus.New()
	logger.SetOutput(&l.told)
	logger.SetLevel(logrus.DebugLevel)
	l.ctx = log.WithLogger(namespaces.WithNamespace(t.Context(), "test"), logrus.NewEntry(logger))
	t.Cleanup(l.noIngests)
	return l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noIngests fails if something half written is left in the store.
func (l *lab) noIngests() {
	left, err := l.store.ListStatuses(context.WithoutCancel(l.ctx))
	if err != nil || len(left) > 0 {
		l.Errorf("ingests are left: %v %v", left, err)
	}
}

func (l *lab) sn(name string) snapshots.Snapshotter { return l.db.Snapshotter(name) }

// active runs a script in a new snapshot, and returns its key.
func (l *lab) active(name, parent, script string) string {
	l.Helper()
	l.n++
	key := fmt.Sprint("active-", l.n)
	mounts, err := l.sn(name).Prepare(l.ctx, key, parent)
	check(l.T, err)
	l.run(mounts, script)
	return key
}

func (l *lab) run(mounts []mount.Mount, script string) {
	l.Helper()
	check(l.T, mount.WithTempMount(l.ctx, mounts, func(root string) error {
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))
}

// committed is active, and then sealed.
func (l *lab) committed(name, parent, script string) string {
	l.Helper()
	key := l.active(name, parent, script)
	check(l.T, l.sn(name).Commit(l.ctx, key+"-done", key))
	return key + "-done"
}

// diff makes the layer of a snapshot on its parent, as a client does.
func (l *lab) diff(name, key string, opts ...c8ddiff.Opt) ocispec.Descriptor {
	l.Helper()
	desc, err := rootfs.CreateDiff(l.ctx, key, l.sn(name), l.d, opts...)
	check(l.T, err)
	return desc
}

// view calls f with a snapshot, mounted.
func (l *lab) view(name, key string, f func(root string)) {
	l.Helper()
	info, err := l.sn(name).Stat(l.ctx, key)
	check(l.T, err)
	var mounts []mount.Mount
	if info.Kind == snapshots.KindActive {
		mounts, err = l.sn(name).Mounts(l.ctx, key)
	} else {
		l.n++
		mounts, err = l.sn(name).View(l.ctx, fmt.Sprint("view-", l.n), key)
	}
	check(l.T, err)
	check(l.T, mount.WithReadonlyTempMount(l.ctx, mounts, func(root string) error { f(root); return nil }))
}

// gives checks that a layer, unpacked on a parent by an applier, is what a
// snapshot shows.
func (l *lab) gives(applier c8ddiff.Applier, desc ocispec.Descriptor, name, parent, key string) {
	l.Helper()
	to := l.active(name, parent, "true")
	mounts, err := l.sn(name).Mounts(l.ctx, to)
	check(l.T, err)
	applied, err := applier.Apply(l.ctx, desc, mounts, c8ddiff.WithSyncFs(true))
	check(l.T, err)
	info, err := l.store.Info(l.ctx, desc.Digest)
	check(l.T, err)
	if label := info.Labels["containerd.io/uncompressed"]; applied.Digest.String() != label || applied.MediaType != ocispec.MediaTypeImageLayer {
		l.Errorf("applied %+v of a layer whose label says %q", applied, label)
	}
	if tarred := int64(len(l.tar(desc))); applied.Size != tarred {
		l.Errorf("applied %d bytes of %d", applied.Size, tarred)
	}
	l.view(name, key, func(want string) {
		l.view(name, to, func(got string) {
			// The native snapshotter's copies of directories have new times.
			options := compare.Options{IgnoreRoot: true, Accept: func(d compare.Difference) bool { return name == "native" && d.Aspect == compare.ModTime }}
			if err := compare.Trees(l.ctx, want, got, options); err != nil {
				l.Error(err)
			}
		})
	})
}

// tar is a layer's stream, decompressed by the standard library.
func (l *lab) tar(desc ocispec.Descriptor) []byte {
	l.Helper()
	blob, err := content.ReadBlob(l.ctx, l.store, desc)
	check(l.T, err)
	if bytes.HasPrefix(blob, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(blob))
		check(l.T, err)
		blob, err = io.ReadAll(z)
		check(l.T, err)
	}
	if bytes.HasPrefix(blob, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		cmd := exec.Command("zstd", "-dc")
		cmd.Stdin = bytes.NewReader(blob)
		if blob, err = cmd.Output(); err != nil {
			l.Skipf("no zstd to look with: %v", err)
		}
	}
	return blob
}

// entries are the names in a layer, with their times.
func (l *lab) entries(desc ocispec.Descriptor) map[string]time.Time {
	l.Helper()
	entries := map[string]time.Time{}
	for r := tar.NewReader(bytes.NewReader(l.tar(desc))); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		check(l.T, err)
		entries[header.Name] = header.ModTime
	}
}

// fellBack reports whether the log says so, and forgets what it said.
func (l *lab) fellBack() bool {
	defer l.told.Reset()
	return strings.Contains(l.told.String(), "by containerd's")
}

const base = `mkdir -p etc usr/bin var/old; echo root > etc/passwd; echo tool > usr/bin/tool
	ln usr/bin/tool usr/bin/same; ln -s nowhere var/dangling; echo 1 > var/old/1; chmod 4755 usr/bin/tool; chmod 700 etc`

// in is the lab for a test within another.
func (l *lab) in(t *testing.T) *lab {
	inner := &lab{T: t, ctx: l.ctx, store: l.store, d: l.d, db: l.db, n: l.n + 1000}
	logger := logrus.New()
	logger.SetOutput(&inner.told)
	logger.SetLevel(logrus.DebugLevel)
	inner.ctx = log.WithLogger(l.ctx, logrus.NewEntry(logger))
	l.n += 2000
	return inner
}
