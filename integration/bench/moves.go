package main

import (
	"context"
	"fmt"
	"time"

	"github.com/baleen-project/baleen/integration/bench/results"
)

// mover is what a contestant does to keep a state of a container, to go back to
// it, and to move the container to a new image. The fork has revisions; what the
// others do instead takes a user several commands.
type mover interface {
	// keeper says that states are kept by snapshot. Others commit images.
	keeper() bool
	// snapshot keeps the container's state by that name.
	snapshot(ctx context.Context, container, state string) (time.Duration, error)
	// rollback goes back to a state, the image of that name if there are no
	// others. The container runs afterwards if it ran before.
	rollback(ctx context.Context, container, state string, o replacement) (time.Duration, error)
	// upgrade moves a stopped container to an image, with what it wrote at
	// o.path.
	upgrade(ctx context.Context, container, image string, o replacement) (time.Duration, error)
	start(ctx context.Context, container string) (time.Duration, error)
}

// replacement is how a container is replaced by another one, by hand.
type replacement struct {
	args  []string // of `inside`
	runs  bool
	aside string // the old one gets this name; it is removed if that is empty
	path  string // what the new one gets of the old one's files
}

// moves times what can be done with the states of the container that has been
// committed. Each snapshot and rollback leaves all that the workload changes
// behind, so that it has to be sealed.
func (t *turn) moves(ctx context.Context, committed results.Sample) error {
	next, err := t.arena.nextImage(ctx, t.who, t.workload.files)
	if err != nil {
		return err
	}
	m := &moving{turn: t, container: t.containers[0], state: t.images[0]}
	if t.who.keeper() {
		if err := m.keep(ctx); err != nil {
			return err
		}
	} else {
		t.record(results.Snapshot, committed, nil) // by hand they are the same
	}
	for _, step := range []func(context.Context) error{
		m.rollback, m.fill, m.stop, m.rollbackStopped, m.start, m.stop,
		func(ctx context.Context) error { return m.upgrade(ctx, next) },
		m.run,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// moving is that part of a turn.
type moving struct {
	*turn
	container, state string
	fills, replaced  int
}

// time measures an action during which the container's clock cannot be read.
func (m *moving) time(ctx context.Context, action string, act func(context.Context) (time.Duration, error)) error {
	sample, err := m.measure(ctx, nil, act)
	m.record(action, sample, err)
	return err
}

// keep has the snapshots of the container while it runs and when it is stopped,
// and leaves it as it was.
func (m *moving) keep(ctx context.Context) error {
	sample, err := m.measure(ctx, m.watchers, func(ctx context.Context) (time.Duration, error) {
		return m.who.snapshot(ctx, m.container, m.state)
	})
	m.record(results.Snapshot, sample, err)
	if err != nil {
		return err
	}
	if err := m.again(ctx); err != nil {
		return err
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	err = m.time(ctx, results.SnapshotStopped, func(ctx context.Context) (time.Duration, error) {
		return m.who.snapshot(ctx, m.container, m.state+"-stopped")
	})
	if err != nil {
		return err
	}
	if err := m.run(ctx); err != nil {
		return err
	}
	return m.fill(ctx)
}

// again has another snapshot of the container while it runs, after a change of one small
// file.
func (m *moving) again(ctx context.Context) error {
	if err := m.who.exec(ctx, m.container, insideArgs("edit", "/data/0000/000003", m.workload.seed(m.round, 0, 0))...); err != nil {
		return err
	}
	sample, err := m.measure(ctx, m.watchers, func(ctx context.Context) (time.Duration, error) {
		return m.who.snapshot(ctx, m.container, m.state+"-again")
	})
	m.record(results.SnapshotAgain, sample, err)
	return err
}

// fill changes the container again.
func (m *moving) fill(ctx context.Context) error {
	m.fills++
	return m.who.exec(ctx, m.container, m.workload.change(m.workload.seed(m.round, 0, m.fills), 0)...)
}

func (m *moving) stop(ctx context.Context) error { return m.who.kill(ctx, []string{m.container}) }

// run starts the container untimed.
func (m *moving) run(ctx context.Context) error {
	if _, err := m.who.start(ctx, m.container); err != nil {
		return err
	}
	return m.watchers[0].await(ctx)
}

func (m *moving) start(ctx context.Context) error {
	err := m.time(ctx, results.Start, func(ctx context.Context) (time.Duration, error) { return m.who.start(ctx, m.container) })
	if err != nil {
		return err
	}
	return m.watchers[0].await(ctx)
}

// replacement is for the next container that takes the place of this one.
func (m *moving) replacement(runs bool) replacement {
	o := replacement{args: []string{"watch", m.watchers[0].mounted()}, runs: runs, path: m.workload.path}
	if m.workload.keeps && !m.who.keeper() {
		m.replaced++
		o.aside = fmt.Sprintf("%s-%d", m.container, m.replaced)
	}
	return o
}

func (m *moving) rollback(ctx context.Context) error {
	o := m.replacement(true)
	err := m.time(ctx, results.Rollback, func(ctx context.Context) (time.Duration, error) {
		return m.who.rollback(ctx, m.container, m.state, o)
	})
	if err != nil {
		return err
	}
	return m.watchers[0].await(ctx)
}

func (m *moving) rollbackStopped(ctx context.Context) error {
	o := m.replacement(false)
	return m.time(ctx, results.RollbackStopped, func(ctx context.Context) (time.Duration, error) {
		return m.who.rollback(ctx, m.container, m.state, o)
	})
}

func (m *moving) upgrade(ctx context.Context, image string) error {
	o := m.replacement(false)
	return m.time(ctx, results.Upgrade, func(ctx context.Context) (time.Duration, error) {
		return m.who.upgrade(ctx, m.container, image, o)
	})
}

// nextImage is the image to upgrade to: one more layer, of new files and a
// changed one, on that of so many files. It is made when it is first asked for.
func (a *arena) nextImage(ctx context.Context, who contestant, files int) (string, error) {
	name := imageName(files) + "-next"
	key := who.name() + " " + name
	if a.made[key] {
		return name, nil
	}
	const container = "maker"
	w := newWatcher(a.control(), who.name()+"-"+container)
	defer w.close()
	err := who.run(ctx, imageName(files), container, "watch", w.mounted())
	for _, change := range [][]string{insideArgs("text", "/next", 200, 4<<20, 1), insideArgs("edit", "/data/0000/000002", 1)} {
		if err == nil {
			err = who.exec(ctx, container, change...)
		}
	}
	if err == nil {
		_, err = who.commit(ctx, container, name)
	}
	if err == nil {
		err = who.remove(ctx, []string{container}, nil)
	}
	if err != nil {
		return "", fmt.Errorf("make the image to upgrade to: %w", err)
	}
	a.made[key] = true
	return name, nil
}
