package history_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/integration/harness"
)

// cutCases are what is cut at each of its calls.
var cutCases = []struct {
	name    string
	prepare func(*testing.T, *kept)
	do      func(k *kept) error
	check   func(t *testing.T, k *kept)
}{
	{"seal", nil, func(k *kept) error { _, err := k.Seal(k.ctx, harness.NewRecord("snapshot")); return err },
		func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
	{"seal of a layer", nil, func(k *kept) error { return k.SealLayer(k.ctx, true) }, func(t *testing.T, k *kept) {
		k.must(t, map[string]string{"a": "2"})
		k.listed(t, "1<0*")
	}},
	{"live seal", nil, func(k *kept) error {
		_, err := k.SealLive(k.ctx, harness.NewRecord("snapshot"), func() (thaw func()) { return func() {} })
		return err
	}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
	{"switch", nil, func(k *kept) error { _, err := k.Switch(k.ctx, 1, harness.NewRecord("before")); return err }, oldOrNew},
	{"upgrade", nil, func(k *kept) error {
		if err := k.pend(3); err != nil {
			return err
		}
		before := harness.NewRecord("before")
		before.Number = 2
		_, err := k.Switch(k.ctx, 3, before)
		return err
	}, oldOrNew},
	{"merging layers", func(_ *testing.T, k *kept) { k.MaxLayers = 2 }, func(k *kept) error {
		_, err := k.Seal(k.ctx, harness.NewRecord("snapshot"))
		return err
	}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "2"}) }},
	{"prune", func(t *testing.T, k *kept) { k.seal(t); k.to(t, 1) }, func(k *kept) error {
		_, err := k.Prune(k.ctx, containerstore.Retention{})
		return err
	}, func(t *testing.T, k *kept) { k.must(t, map[string]string{"a": "1"}) }},
}

// cuts ends each operation at each of its calls. After recovery the container
// is on one of two states as a whole, and nothing else is left. Package containerstore
// does the same without mapped ids and without daemons, at calls of all services.
func cuts(t *testing.T, e *harness.Env, ids containerstore.IDs) {
	for _, c := range cutCases {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/answered=%v", c.name, after), func(t *testing.T) {
				calls := 0
				for at := 1; ; at++ {
					id := fmt.Sprintf("cut%d-%s-%v-%d", ids.Way, strings.ReplaceAll(c.name, " ", "-"), after, at)
					k := newMappedKept(t, e, id, harness.Snapshotter, ids)
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
	c := &harness.Cut{At: at, After: after}
	dying := *k
	history := *k.History
	dying.History = &history
	history.Snapshots = harness.CutSnapshots{Snapshotter: k.Snapshots, Cut: c}
	_ = do(&dying) // the program has ended, so it tells nobody
	return c.Where
}

// recovered recovers the container as the next start does, and checks that
// nothing is left half done.
func (k *kept) recovered(t *testing.T, where string) {
	t.Helper()
	// The operation's lease is swept first.
	ctx := k.e.Context(t)
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
