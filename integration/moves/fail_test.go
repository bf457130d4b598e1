package moves_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice/revisions"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// throughProxy is a client whose calls can be made to fail.
func throughProxy(t *testing.T, e *harness.Env) (*fault.Proxy, *containerd.Client) {
	t.Helper()
	socket := filepath.Join(e.Root(), "fault.sock")
	p, err := fault.Listen(socket, e.ContainerdAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := containerd.New(socket, containerd.WithDefaultNamespace(e.ContainerdNamespace()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return p, client
}

// TestRevisionsWithoutSizes: what cannot be measured is listed even so.
func TestRevisionsWithoutSizes(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	p, client := throughProxy(t, e)
	before := e.State(t)
	id := e.Must(t, "create", "app:1")
	m := newMover(t, e, client, id)
	m.do(t, change)
	p.Set(fault.Plan{Methods: []string{"Snapshots/View"}, Nth: 1})
	m.snapshot(t)
	if _, failed := p.Clear(); failed == "" {
		t.Error("the snapshot's size was not asked for by a view")
	}
	p.Set(fault.Plan{Methods: []string{"Snapshots/View"}, Nth: 1})
	list, err := m.service.RevisionStore().Revisions(t.Context(), m.ctr)
	p.Clear()
	if err != nil || len(list) != 1 || list[0].Size != -1 {
		t.Errorf("got %+v, %v", list, err)
	}
	if list, err = m.service.RevisionStore().Revisions(t.Context(), m.ctr); err != nil || list[0].Size <= 0 {
		t.Errorf("when it can be measured: %+v, %v", list, err)
	}
	e.Remove(t, id)
	e.Settled(t, before)
}

// TestMovesFailCleanly fails each call to containerd that an upgrade or a
// rollback makes.
func TestMovesFailCleanly(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	p, client := throughProxy(t, e)
	old := []string{"app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine"}
	for _, c := range []struct {
		name    string
		prepare func(context.Context, *mover) (*revisions.Move, error)
		moved   []string
	}{
		{"upgrade", func(ctx context.Context, m *mover) (*revisions.Move, error) {
			return m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, upgradeOptions())
		}, []string{"app/conf=mine", "app/only2=2", "app/version=v2", "data/a=mine"}},
		{"rollback", func(ctx context.Context, m *mover) (*revisions.Move, error) {
			return m.service.RevisionStore().PrepareRollback(ctx, m.ctr, revisions.RollbackOptions{Carry: true})
		}, append(old, "data/b=more")},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; n <= harness.MostCalls; n++ {
				before := e.State(t)
				id := e.Must(t, "create", "app:1")
				m := newMover(t, e, client, id)
				m.do(t, change)
				want := old
				if c.name == "rollback" {
					m.snapshot(t)
					m.do(t, "echo more > data/b")
					want = c.moved
				}
				p.Set(fault.Plan{Methods: harness.ImageServices, Nth: n})
				move, err := c.prepare(t.Context(), m)
				if err == nil {
					err = move.Run(t.Context())
				}
				_, failed := p.Clear()
				if movedOrNot(t, m, failed, err) {
					want = c.moved
				}
				m.has(t, want...)
				m.onlyWhatCounts(t, failed)
				e.Remove(t, id)
				e.SettledBut(t, failed, before)
				if failed == "" {
					if err != nil {
						t.Errorf("with no call failing: %v", err)
					}
					t.Logf("%d calls, each failed once", n-1)
					return
				}
			}
			t.Errorf("the operation makes more than %d calls", harness.MostCalls)
		})
	}
}

// movedOrNot reports whether a container has moved, and checks that the move said so.
func movedOrNot(t *testing.T, m *mover, failed string, err error) bool {
	t.Helper()
	st, serr := m.service.RevisionStore().State(t.Context(), m.ctr.ID)
	if serr != nil {
		t.Fatalf("%s failed, and then: %v", failed, serr)
	}
	if (err == nil) != (st != nil) {
		t.Errorf("%s failed: the move gave %v, and the state is %+v", failed, err, st)
	}
	return st != nil
}

// onlyWhatCounts checks that no snapshot of the container is there but those of
// its revisions.
func (m *mover) onlyWhatCounts(t *testing.T, failed string) {
	t.Helper()
	list, err := m.service.RevisionStore().Revisions(t.Context(), m.ctr)
	if err != nil {
		t.Fatal(err)
	}
	id := m.ctr.ID
	known := []string{id, id + "-init"}
	for _, r := range list {
		known = append(known, fmt.Sprint(id, ".r", r.Number))
		if r.Kind == api.KindUpgrade {
			known = append(known, fmt.Sprint(id, ".r", r.Number, "-init"))
		}
	}
	harness.Eventually(t, "leftovers to go after "+failed, func() error {
		return m.e.Client.SnapshotService(harness.Snapshotter).Walk(m.e.Context(t), func(_ context.Context, i snapshots.Info) error {
			if strings.HasPrefix(i.Name, id) && !slices.Contains(known, i.Name) {
				return fmt.Errorf("snapshot %s is left", i.Name)
			}
			return nil
		})
	})
}
