package harness

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore"
)

var errCut = errors.New("cut")

// Cut ends a program, as it seems, at one of its calls: before containerd has
// seen it or before the answer comes. All later calls fail.
type Cut struct {
	At, calls int
	After     bool
	Where     string
}

func (c *Cut) call(name string, f func() error) error {
	c.calls++
	if c.At == 0 || c.calls < c.At {
		return f()
	}
	if c.calls == c.At {
		c.Where = name
		if c.After {
			if err := f(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s: %w", name, errCut)
}

// CutSnapshots is a snapshotter whose calls a Cut may end.
type CutSnapshots struct {
	snapshots.Snapshotter
	Cut *Cut
}

// Prepare is that of the snapshotter, if it is not cut.
func (s CutSnapshots) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.Cut.call("prepare", func() error { m, err = s.Snapshotter.Prepare(ctx, key, parent, opts...); return err })
	return m, err
}

// View is that of the snapshotter, if it is not cut.
func (s CutSnapshots) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.Cut.call("view", func() error { m, err = s.Snapshotter.View(ctx, key, parent, opts...); return err })
	return m, err
}

// Commit is that of the snapshotter, if it is not cut.
func (s CutSnapshots) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.Cut.call("commit", func() error { return s.Snapshotter.Commit(ctx, name, key, opts...) })
}

// Update is that of the snapshotter, if it is not cut.
func (s CutSnapshots) Update(ctx context.Context, i snapshots.Info, paths ...string) (out snapshots.Info, err error) {
	err = s.Cut.call("update", func() error { out, err = s.Snapshotter.Update(ctx, i, paths...); return err })
	return out, err
}

// Remove is that of the snapshotter, if it is not cut.
func (s CutSnapshots) Remove(ctx context.Context, key string) error {
	return s.Cut.call("remove", func() error { return s.Snapshotter.Remove(ctx, key) })
}

// Walk is that of the snapshotter, if it is not cut.
func (s CutSnapshots) Walk(ctx context.Context, f snapshots.WalkFunc, filters ...string) error {
	return s.Cut.call("walk", func() error { return s.Snapshotter.Walk(ctx, f, filters...) })
}

// History is what the daemon has of a container's revisions.
func (e *Env) History(t *testing.T, id string) *containerstore.History {
	t.Helper()
	return &containerstore.History{
		Container: id, Snapshotter: Snapshotter, Snapshots: e.Client.SnapshotService(Snapshotter),
		Content: e.Client.ContentStore(), Leases: e.Client.LeasesService(), Tasks: e.Client.TaskService(), Lease: id, Differ: e.Client.DiffService(),
	}
}

// CutSwitch has a switch of a container to a revision end between its two halves. No
// dockerd runs.
func (e *Env) CutSwitch(t *testing.T, id string, to int) {
	t.Helper()
	ctx, done, err := e.Client.WithLease(e.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	h := e.History(t, id)
	for at := 1; ; at++ {
		c := &Cut{At: at, After: true}
		h.Snapshots = CutSnapshots{Snapshotter: e.Client.SnapshotService(Snapshotter), Cut: c}
		_, err := h.Switch(ctx, to, NewRecord("before"))
		if err == nil {
			t.Fatal("no call was the one between the halves")
		}
		if c.Where == "remove" {
			break
		}
		if err := e.History(t, id).Recover(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := done(ctx); err != nil {
		t.Fatal(err)
	}
}

// NewRecord returns the record of a revision of a kind.
func NewRecord(kind string) containerstore.Record {
	return containerstore.Record{Created: time.Now().UTC(), Kind: kind, Message: "of " + kind, Config: []byte(`{"Hostname":"x"}`)}
}
