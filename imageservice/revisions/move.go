package revisions

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Move takes a container from one state to another: an upgrade or a rollback
// that has been prepared. While it exists no other operation can change the
// container's revisions. Run or Abandon ends it; what is called after that does
// nothing.
type Move struct {
	Plan api.Plan
	// Before is the revision that the present state becomes, and To the one
	// that the container is to stand on. In a plan that is all, a dry run, they
	// have no number if they do not exist.
	Before, To api.Revision
	// State is what the daemon's record of the container must say after Run.
	State State

	s       *Store
	verb    string
	ctr     *moby.Container
	history *containerstore.History
	tree    *containerstore.Tree // what history had when the move began
	before  containerstore.Record
	unnamed bool        // before need not become a revision if one has that state
	pending int         // the revision that was made for it; 0 if there is none
	lease   string      // of the operation
	release func(error) // ends the lease, and lets others change the container
	ids     containerstore.IDs
	volumes []volumeOwners // nil before they are needed
}

// listed bounds what a plan lists of each kind.
const listed = 100

// move begins to prepare a move of a container that is stopped, or a plan.
func (s *Store) move(ctx context.Context, verb string, ctr *moby.Container, dry bool) (_ *Move, _ context.Context, err error) {
	m := &Move{s: s, verb: verb, ctr: ctr, history: s.Files.History(ctr.ID, ctr.Driver)}
	end := func() {}
	if !dry {
		if end, err = s.Files.Locks.Take(ctr.ID); err != nil {
			return nil, nil, err
		}
		defer func() {
			if err != nil {
				end()
			}
		}()
		err = m.settle(ctx)
	} else {
		m.tree, err = m.history.View(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	ctx, release, err := s.Files.Operations.Begin(ctx, verb, ctr.ID, false)
	if err != nil {
		return nil, nil, err
	}
	m.lease, _ = leases.FromContext(ctx)
	m.release = func(err error) { release(err); end() }
	return m, ctx, nil
}

// settle checks that the container is stopped, and ends what an earlier move
// has left undone.
func (m *Move) settle(ctx context.Context) error {
	return m.s.Files.WhileIdle(ctx, m.ctr, m.history, func() (err error) {
		if m.tree, err = m.history.Open(ctx); err != nil {
			return err
		}
		m.s.Files.Settled(m.ctr.ID)
		return nil
	})
}

// describe fills in what the move does with the container's record, and its
// revisions before there are any. The number of the present state is reserved.
func (m *Move) describe(ctx context.Context, to State, message string, dry bool) (err error) {
	from := stateOf(m.ctr)
	m.State = to
	m.Plan.From, m.Plan.To = imageOf(from), imageOf(to)
	m.warnOfCompose(ctx)
	if m.before, err = from.record(api.KindBefore, message); err != nil || dry {
		return err
	}
	m.before.Number = m.tree.Next()
	m.Before = revision(containerstore.Revision{Record: m.before})
	return nil
}

func imageOf(st State) api.Image {
	return api.Image{Name: st.Config.Image, ID: digest.Digest(st.ImageID)}
}

// conflict adds one to the plan.
func (m *Move) conflict(c merge.Conflict) {
	m.Plan.ConflictCount++
	if len(m.Plan.Conflicts) == listed {
		return
	}
	told := api.Conflict{Path: shownAt(c.Path), Container: doings[c.Container], Image: doings[c.Image], Winner: winners[c.Winner], Lines: c.Lines}
	if c.Class != merge.Ordinary {
		told.Class = string(c.Class)
	}
	m.Plan.Conflicts = append(m.Plan.Conflicts, told)
}

var (
	winners = map[merge.Policy]string{merge.Keep: "container", merge.Image: "image"}
	doings  = map[merge.Did]string{
		merge.Created: "added", merge.Changed: "modified", merge.Metadata: "modified", merge.Replaced: "replaced", merge.Removed: "deleted",
	}
)

func (m *Move) count(stats merge.Stats) {
	m.Plan.FailCount = stats.Conflicts[merge.Fail]
	m.Plan.Kept, m.Plan.There, m.Plan.FromImage = stats.Kept, stats.There, stats.Image+stats.Dropped+stats.Conflicts[merge.Image]
}

// Run keeps the present state as Before, and gives the container the files of
// To. The container must be stopped. A failure leaves the container as it was,
// unless containerd fails too; in any case [Store.State] tells.
func (m *Move) Run(ctx context.Context) error {
	if m.release == nil {
		return nil
	}
	err := m.run(leases.WithLease(ctx, m.lease))
	m.end(err)
	if err != nil {
		return compat.DockerError(fmt.Errorf("%s container %s: %w", m.verb, m.ctr.ID, err))
	}
	return nil
}

func (m *Move) run(ctx context.Context) error {
	began := false
	err := m.s.Files.WhileIdle(ctx, m.ctr, m.history, func() error {
		began = true
		before, err := m.change(ctx)
		if err != nil {
			return m.settled(ctx, err)
		}
		m.Before = revision(before)
		return nil
	})
	if err != nil && !began {
		err = errors.Join(err, m.dropPending(ctx))
	}
	if err != nil {
		return err
	}
	to, err := m.tree.Revision(ctx, m.To.Number)
	if err != nil { // it is there: its size is not known
		log.G(ctx).WithError(err).WithField("container", m.ctr.ID).Warn("could not look up a revision")
		m.To.Current = true
		return nil
	}
	m.To = revision(to)
	return nil
}

// change gives the container the files of To, and returns the revision that has the state
// before: a new one, unless the container is what a revision has and nobody has a message
// for another.
func (m *Move) change(ctx context.Context) (containerstore.Revision, error) {
	if m.unnamed {
		before, ok, err := m.tree.Return(ctx, m.To.Number, m.before)
		if ok || err != nil {
			return before, err
		}
	}
	return m.tree.Switch(ctx, m.To.Number, m.before)
}

// settled leaves the container wholly on one side of a move that failed. If it
// has got there all the same, then that is no failure.
func (m *Move) settled(ctx context.Context, failure error) error {
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	now, err := m.history.Open(ctx)
	if err != nil {
		m.s.Files.SettleLater(ctx, m.ctr.ID)
		return errors.Join(failure, err)
	}
	m.tree = now
	before, err := now.Revision(ctx, m.before.Number)
	if err != nil {
		return failure
	}
	log.G(ctx).WithError(failure).WithField("container", m.ctr.ID).Warn("a move of the container failed half-way, and was completed then")
	m.Before = revision(before)
	return nil
}

// Abandon removes what was prepared. The container stays as it is.
func (m *Move) Abandon(ctx context.Context) error {
	if m.release == nil {
		return nil
	}
	err := m.dropPending(leases.WithLease(ctx, m.lease))
	m.end(errCollect)
	if err != nil {
		return compat.DockerError(fmt.Errorf("abandon the %s of container %s: %w", m.verb, m.ctr.ID, err))
	}
	return nil
}

// dropPending removes the revision that was made for the move, if there is one.
func (m *Move) dropPending(ctx context.Context) error {
	if m.pending == 0 {
		return nil
	}
	err := m.history.Abandon(ctx, m.pending)
	if err != nil {
		m.s.Files.SettleLater(ctx, m.ctr.ID)
	}
	return err
}

func (m *Move) end(err error) {
	m.release(err)
	m.release = nil
}
