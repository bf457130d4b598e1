package overlay_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	containerdoverlay "github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// TestRefusesForeignRoots: a folder that containerd's overlayfs has made, and paths
// that no overlay can be mounted by, are refused, and stay as they are.
func TestRefusesForeignRoots(t *testing.T) {
	parent := t.TempDir()
	foreign := filepath.Join(parent, "overlayfs")
	sn, err := containerdoverlay.NewSnapshotter(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sn.Prepare(t.Context(), "theirs", ""); err != nil {
		t.Fatal(err)
	}
	if err := sn.Close(); err != nil {
		t.Fatal(err)
	}
	for root, class := range map[string]error{
		foreign:                      errdefs.ErrFailedPrecondition,
		filepath.Join(parent, "a:b"): errdefs.ErrInvalidArgument,
		"/":                          errdefs.ErrInvalidArgument,
	} {
		before := slices.Concat(entries(t, parent), entries(t, foreign), entries(t, filepath.Join(foreign, "snapshots")))
		if err := overlay.CheckOwn(root); !errors.Is(err, class) {
			t.Errorf("%s: %v, want %v", root, err, class)
		}
		if root != foreign {
			if s, err := overlay.New(root); !errors.Is(err, class) {
				t.Errorf("%s was opened as %v: %v, want %v", root, s, err, class)
			}
		}
		after := slices.Concat(entries(t, parent), entries(t, foreign), entries(t, filepath.Join(foreign, "snapshots")))
		if !slices.Equal(before, after) {
			t.Errorf("%s was refused, and changed from %v to %v", root, before, after)
		}
	}
	own := filepath.Join(parent, "own")
	open(t, own).Close()
	if err := overlay.CheckOwn(own); err != nil {
		t.Errorf("a root of its own: %v", err)
	}
	if err := overlay.CheckOwn(filepath.Join(parent, "none")); err != nil {
		t.Errorf("a root that is not there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(parent, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the check has made a folder: %v", err)
	}
}

// TestPanicInTransaction: a change that panics fails, alone if it was its fault, and
// leaves nothing. All others go on.
func TestPanicInTransaction(t *testing.T) {
	for _, step := range []string{"named", "folders"} {
		t.Run(step, func(t *testing.T) {
			root := t.TempDir()
			var armed atomic.Bool
			if !slices.Contains(overlay.Steps, step) {
				t.Fatalf("there is no step %q, but %q", step, overlay.Steps)
			}
			s := open(t, root, overlay.WithHook(func(at string) error {
				if at == step && armed.CompareAndSwap(true, false) {
					panic("at " + step)
				}
				return nil
			}))
			armed.Store(true)
			if _, err := s.Prepare(t.Context(), "first", ""); !errors.Is(err, errdefs.ErrInternal) {
				t.Errorf("the change that panics: %v", err)
			}
			if _, err := s.Stat(t.Context(), "first"); !errors.Is(err, errdefs.ErrNotFound) {
				t.Errorf("it has left a record: %v", err)
			}
			life(t, s)
			if err := s.Cleanup(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkEmpty(t, s, root)
		})
	}
}
