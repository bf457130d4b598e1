package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// records are containerd's leases, as they are on disk.
func records(t *testing.T) leases.Manager {
	t.Helper()
	dir := t.TempDir()
	store, err := local.NewStore(dir)
	check(t, err)
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	m := metadata.NewDB(db, store, nil)
	check(t, m.Init(t.Context()))
	return metadata.NewLeaseManager(m)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restarting cannot list or delete leases at first, as a containerd that is
// starting.
type restarting struct {
	leases.Manager
	fails, deletes int
}

func (r *restarting) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	if r.deletes--; r.deletes >= 0 {
		return errdefs.ErrUnavailable
	}
	return r.Manager.Delete(ctx, l, opts...)
}

func (r *restarting) List(ctx context.Context, filters ...string) ([]leases.Lease, error) {
	if r.fails--; r.fails >= 0 {
		return nil, errdefs.ErrUnavailable
	}
	return r.Manager.List(ctx, filters...)
}

// comparison is one that takes its time.
type comparison func(ctx context.Context) error

func (c comparison) Compare(ctx context.Context, _, _ []mount.Mount, _ ...c8ddiff.Opt) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{Digest: digest.FromString("layer")}, c(ctx)
}

// TestSweepSparesWhatIsUnderWay: what a killed predecessor has left goes as soon
// as containerd can tell, while a comparison of our own may be under way.
func TestSweepSparesWhatIsUnderWay(t *testing.T) {
	ctx := namespaces.WithNamespace(t.Context(), "test")
	manager := records(t)
	killed := newHolder(nil, manager, "/root")
	check(t, killed.create(ctx, newLease(), operationDiff, leaseNet))

	var (
		h    *holder
		call int
		done = errors.New("done")
	)
	h = newHolder(comparison(func(ctx context.Context) error {
		if call++; call == 2 {
			return done
		}
		ours, _ := leases.FromContext(ctx)
		if _, err := h.Compare(ctx, nil, nil); !errors.Is(err, done) {
			t.Errorf("the comparison at the same time: %v", err)
		}
		left, err := manager.List(ctx)
		if err != nil || len(left) != 1 || left[0].ID != ours {
			t.Errorf("after the sweep there are leases %+v, %v, want %s alone", left, err, ours)
		}
		return done
	}), &restarting{Manager: manager, fails: 1}, "/root")
	if _, err := h.Compare(ctx, nil, nil); !errors.Is(err, done) {
		t.Errorf("got %v", err)
	}
	if left, err := manager.List(ctx); err != nil || len(left) > 0 {
		t.Errorf("at the end there are leases %+v, %v", left, err)
	}
}

// TestSweepTriesAgain: a lease that could not be deleted at the end of its
// comparison goes with the next one.
func TestSweepTriesAgain(t *testing.T) {
	ctx := namespaces.WithNamespace(t.Context(), "test")
	manager, failure := records(t), errors.New("not compared")
	h := newHolder(comparison(func(context.Context) error { return failure }), &restarting{Manager: manager, deletes: 1}, "/root")
	for i, want := range []int{1, 0} {
		if _, err := h.Compare(ctx, nil, nil); !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		if left, err := manager.List(ctx); err != nil || len(left) != want {
			t.Errorf("after comparison %d there are leases %+v, %v", i, left, err)
		}
	}
}
