package overlay_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	bolt "go.etcd.io/bbolt"

	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// TestMain gives the tests a mount namespace, for the overlays that they mount.
func TestMain(m *testing.M) {
	if root := os.Getenv(workerRoot); root != "" {
		os.Exit(work(root))
	}
	mountns.Main(m.Run)
}

// open makes a snapshotter, and checks at the end of the test that nothing is
// left of it that should not be.
func open(t *testing.T, root string, opts ...overlay.Option) *overlay.Snapshotter {
	t.Helper()
	requireRoot(t)
	s, err := overlay.New(root, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChecked(t, s) })
	return s
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting overlays takes root")
	}
}

// closeChecked closes s, whose records and folders must agree.
func closeChecked(t *testing.T, s *overlay.Snapshotter) {
	t.Helper()
	if r, err := s.Check(context.Background()); err == nil {
		if len(r.Missing)+len(r.Leftover)+len(r.Strange) > 0 {
			t.Errorf("records and folders do not agree: %+v", r)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// commit makes a committed snapshot that has a file beside those of its parent.
func commit(t *testing.T, s snapshots.Snapshotter, name, parent, file, text string) {
	t.Helper()
	mounts, err := s.Prepare(t.Context(), name+"-active", parent)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(upper(t, mounts), file), text)
	if err := s.Commit(t.Context(), name, name+"-active"); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// upper is the folder that mounts write into.
func upper(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	m := mounts[0]
	if m.Type == "bind" {
		return m.Source
	}
	dir := option(m, "upperdir")
	if dir == "" {
		t.Fatalf("mount without an upper: %+v", m)
	}
	return dir
}

func option(m mount.Mount, key string) string {
	for _, o := range m.Options {
		if len(o) > len(key) && o[:len(key)+1] == key+"=" {
			return o[len(key)+1:]
		}
	}
	return ""
}

// mounted calls f with the folder where mounts are mounted.
func mounted(t *testing.T, mounts []mount.Mount, f func(dir string)) {
	t.Helper()
	err := mount.WithTempMount(t.Context(), mounts, func(dir string) error {
		f(dir)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// skipIDs closes s, and makes it as if n snapshots had been made there before.
func skipIDs(t *testing.T, s *overlay.Snapshotter, root string, n uint64) {
	t.Helper()
	commit(t, s, "first", "", "file", "1")
	if err := s.Remove(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(root, "metadata.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("v1")).Bucket([]byte("snapshots")).SetSequence(n)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
