package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
)

var errCut = errors.New("cut")

// cut ends a program, as it seems, at one of its calls: before containerd has
// seen it or before the answer comes. All later calls fail.
type cut struct {
	at, calls int
	after     bool
	where     string
}

func (c *cut) call(name string, f func() error) error {
	c.calls++
	if c.at == 0 || c.calls < c.at {
		return f()
	}
	if c.calls == c.at {
		c.where = name
		if c.after {
			if err := f(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s: %w", name, errCut)
}

type cutSnapshots struct {
	snapshots.Snapshotter
	cut *cut
}

func (s cutSnapshots) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.cut.call("prepare", func() error { m, err = s.Snapshotter.Prepare(ctx, key, parent, opts...); return err })
	return m, err
}

func (s cutSnapshots) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.cut.call("view", func() error { m, err = s.Snapshotter.View(ctx, key, parent, opts...); return err })
	return m, err
}

func (s cutSnapshots) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.cut.call("commit", func() error { return s.Snapshotter.Commit(ctx, name, key, opts...) })
}

func (s cutSnapshots) Update(ctx context.Context, i snapshots.Info, paths ...string) (out snapshots.Info, err error) {
	err = s.cut.call("update", func() error { out, err = s.Snapshotter.Update(ctx, i, paths...); return err })
	return out, err
}

func (s cutSnapshots) Remove(ctx context.Context, key string) error {
	return s.cut.call("remove", func() error { return s.Snapshotter.Remove(ctx, key) })
}

func (s cutSnapshots) Walk(ctx context.Context, f snapshots.WalkFunc, filters ...string) error {
	return s.cut.call("walk", func() error { return s.Snapshotter.Walk(ctx, f, filters...) })
}

// cuts ends each operation at each of its calls. After recovery the container
// is on one of two states as a whole, and nothing else is left.
func cuts(t *testing.T, e *env, ids containerstore.IDs) {
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, *kept)
		do      func(k *kept) error
		check   func(t *testing.T, k *kept)
	}{
		{"seal", nil, func(k *kept) error { _, err := k.Seal(k.ctx, record("snapshot")); return err },
			func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
		{"seal of a layer", nil, func(k *kept) error { return k.SealLayer(k.ctx, true) }, func(t *testing.T, k *kept) {
			k.must(t, map[string]string{"a": "2"})
			k.listed(t, "1<0*")
		}},
		{"live seal", nil, func(k *kept) error {
			_, err := k.SealLive(k.ctx, record("snapshot"), func() (thaw func()) { return func() {} })
			return err
		}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
		{"switch", nil, func(k *kept) error { _, err := k.Switch(k.ctx, 1, record("before")); return err }, oldOrNew},
		{"upgrade", nil, func(k *kept) error {
			if err := k.pend(3); err != nil {
				return err
			}
			before := record("before")
			before.Number = 2
			_, err := k.Switch(k.ctx, 3, before)
			return err
		}, oldOrNew},
		{"merging layers", func(_ *testing.T, k *kept) { k.MaxLayers = 2 }, func(k *kept) error {
			_, err := k.Seal(k.ctx, record("snapshot"))
			return err
		}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
		{"prune", func(t *testing.T, k *kept) { k.seal(t); k.to(t, 1) }, func(k *kept) error {
			_, err := k.Prune(k.ctx, containerstore.Retention{})
			return err
		}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "1"}) }},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/answered=%v", c.name, after), func(t *testing.T) {
				calls := 0
				for at := 1; ; at++ {
					id := fmt.Sprintf("cut%d-%s-%v-%d", ids.Way, strings.ReplaceAll(c.name, " ", "-"), after, at)
					k := newMappedKept(t, e, id, snapshotter, ids)
					k.write(t, "a", "1")
					k.seal(t)
					k.write(t, "a", "2")
					if c.prepare != nil {
						c.prepare(t, k)
					}
					where := k.cutAt(at, after, c.do)
					if where == "" {
						calls = at - 1
						break
					}
					k.recovered(t, fmt.Sprint("call ", at, ", ", where))
					c.check(t, k)
					if t.Failed() {
						t.Fatalf("cut at call %d, %s", at, where)
					}
				}
				t.Logf("cut at each of %d calls", calls)
			})
		}
	}
}

// cutAt cuts an operation at one of its calls, and returns at which; "" if it
// does not make as many.
func (k *kept) cutAt(at int, after bool, do func(*kept) error) string {
	c := &cut{at: at, after: after}
	dying := *k
	history := *k.History
	dying.History = &history
	history.Snapshots = cutSnapshots{k.Snapshots, c}
	_ = do(&dying) // the program has ended, so it tells nobody
	return c.where
}

// recovered recovers the container as the next start does, and checks that
// nothing is left half done.
func (k *kept) recovered(t *testing.T, where string) {
	t.Helper()
	// The operation's lease is swept first.
	ctx := k.e.ctx(t)
	operation := k.Container + "-operation"
	if err := k.Leases.Delete(ctx, leases.Lease{ID: operation}, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Leases.Create(ctx, leases.WithID(operation)); err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(k.ctx); err != nil {
		t.Errorf("after %s: %v", where, err)
	}
	stack, err := k.Stack(k.ctx)
	if err != nil {
		t.Errorf("after %s: %v", where, err)
	}
	all, err := k.List(k.ctx)
	if err != nil {
		t.Errorf("after %s: %v", where, err)
	}
	known := append(slices.Clone(stack.Own), stack.Init)
	for _, r := range all {
		known = append(known, r.Snapshot)
	}
	err = k.Snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Name, k.Container+".") && !slices.Contains(known, i.Name) && !strings.Contains(i.Name, ".c") {
			t.Errorf("after %s snapshot %s is left", where, i.Name)
		}
		return nil
	}, fmt.Sprintf("name~=^%s\\.", k.Container))
	if err != nil {
		t.Error(err)
	}
	in, err := k.Inspect(ctx, func(ocispec.Descriptor, ocispec.Platform) error { return nil })
	if err != nil || !in.HasActive {
		t.Errorf("after %s: active is %v, %v", where, in.HasActive, err)
	}
	for _, f := range in.Faults {
		// The images here are named after the container.
		if f.Kind != containerstore.FaultContradiction || !strings.Contains(f.Text, "-base") {
			t.Errorf("after %s snapshot %s: %s", where, f.Snapshot, f.Text)
		}
	}
}

// oldOrNew checks that the container has one state as a whole, and that its
// record says which.
func oldOrNew(t *testing.T, k *kept) {
	t.Helper()
	state, err := k.State(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case state == nil:
		k.must(t, map[string]string{"a": "2"})
		k.listed(t, "1<0*")
	case state.Kind == "upgrade":
		k.must(t, map[string]string{"two": "-", "upgraded": "upgraded"})
		k.listed(t, "1<0 2<1 3<2*")
	default:
		k.must(t, map[string]string{"a": "1"})
		k.listed(t, "1<0* 2<1")
	}
}
