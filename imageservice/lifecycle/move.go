package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// What a move is called in docker events.
const (
	upgrade  moby.EventAction = "upgrade"
	rollback moby.EventAction = "rollback"
)

// move is an upgrade or a rollback of a container: stop, switch the files and the record,
// start. A container that did not run is not started. What fails before the files are
// switched leaves the container as it was, running if it ran. A watched move whose
// container does not come up is taken back.
//
// While the files are prepared and switched nobody else can start the container. It is
// locked only while its record changes, so that others can look at it meanwhile.
type move struct {
	*Operations
	emit    func(api.Progress)
	request context.Context // what is prepared ends with it, a switch does not
	action  moby.EventAction

	prepare           func(ctx context.Context, dryRun bool) (*Prepared, error)
	dryRun            bool
	noStart           bool
	watched           bool          // take it back if the container does not come up
	patience          time.Duration // to wait for that; 0 for what the container's health check needs
	restartDependents bool          // restart those that share namespaces of the container

	giveUpTo *int // the revision for which what is lost of the container is given up

	c       *moby.Container
	restart bool     // it ran, and is to run again
	stopped bool     // by the move
	added   []string // paths of new volumes
	// dependents share namespaces of the container.
	dependents []dependent
	result     api.Result
}

// run makes the move for a request. what names it, with its article.
func (m *move) run(request context.Context, name, what string) error {
	m.request = request
	if err := m.work(request, name, what); err != nil {
		return err
	}
	// Whoever hears it may ask for the next operation: this one has ended.
	m.emit(api.Progress{Result: &m.result})
	return nil
}

func (m *move) work(ctx context.Context, name, what string) error {
	ctx, c, end, err := m.begin(ctx, name, what, m.usable)
	if err != nil {
		return err
	}
	defer end()
	m.c = c
	if err := m.refuse(); err != nil {
		return err
	}
	m.dependents = m.findDependents()
	if m.dryRun {
		return m.plan(ctx)
	}
	err = m.carryOut(ctx)
	warnings := m.restartShared(ctx)
	if err != nil && len(warnings) > 0 {
		m.emit(api.Progress{Warnings: warnings})
	}
	m.result.Warnings = append(m.result.Warnings, warnings...)
	return err
}

// carryOut stops the container, switches its files, and starts it.
func (m *move) carryOut(ctx context.Context) error {
	prepared, err := m.stopAndPrepare(ctx)
	if err != nil {
		return m.giveUp(ctx, err)
	}
	before, to, err := m.makeSwitch(ctx, prepared)
	if err != nil {
		return m.giveUp(ctx, err)
	}
	return m.comeUp(ctx, before, to)
}

// usable is that of [Operations], but that a container which has lost what it wrote since
// its last revision can be rolled back. What was lost is given up then.
func (m *move) usable(ctx context.Context, c *moby.Container) error {
	err := m.Operations.usable(ctx, c)
	if err == nil || m.giveUpTo == nil || m.dryRun || c.State.IsRemovalInProgress() || c.State.IsDead() {
		return err
	}
	c.State.Lock()
	defer c.State.Unlock()
	given, failure := m.files.GiveUpLost(ctx, c, *m.giveUpTo, m.init)
	if failure != nil {
		return conflict("%v; it cannot be rolled back: %v", err, failure)
	}
	if !given {
		return err
	}
	m.result.Warnings = append(m.result.Warnings, "what the container wrote since its last revision was lost, as in a power cut")
	return m.loadAgain(ctx, c)
}

// giveUp ends a move that changed nothing: the container runs again, if it ran.
func (m *move) giveUp(ctx context.Context, err error) error {
	if m.c.State.IsRemovalInProgress() {
		return m.removed()
	}
	return errors.Join(err, m.start(ctx))
}

func (m *move) removed() error {
	return conflict("container %s is being removed", bare(m.c))
}

// refuse says why a container cannot be moved at all.
func (m *move) refuse() error {
	switch {
	case m.c.HostConfig.AutoRemove:
		return conflict("cannot %s container %s: it was created with --rm, and would be removed when it is stopped", m.action, bare(m.c))
	case m.c.State.IsPaused():
		return conflict("cannot %s container %s: it is paused: unpause it first", m.action, bare(m.c))
	}
	return nil
}

// plan tells what the move would do, and does nothing.
func (m *move) plan(ctx context.Context) error {
	ctx, stop := until(ctx, m.request)
	defer stop()
	planned, err := m.prepare(ctx, true)
	if planned != nil {
		m.tellDependents(&planned.Plan)
		m.emit(api.Progress{Plan: &planned.Plan})
	}
	if err != nil {
		return compat.DockerError(err)
	}
	if planned.Plan.FailCount > 0 && !m.dryRun {
		which := fmt.Sprintf("%d paths", planned.Plan.FailCount) // that may be beyond those listed
		undecided := func(c api.Conflict) bool { return c.Winner == "" }
		if i := slices.IndexFunc(planned.Plan.Conflicts, undecided); i >= 0 {
			which = planned.Plan.Conflicts[i].Path
		}
		return conflict("%s changed both in container %s and in the image, and the policy is to fail", which, bare(m.c))
	}
	return runnable(planned.State.Config)
}

func runnable(config *moby.ContainerConfig) error {
	if config != nil && len(command(config)) == 0 {
		return compat.DockerError(cerrdefs.ErrInvalidArgument.WithMessage("no command specified: neither the container nor the image has one"))
	}
	return nil
}

// stopAndPrepare stops the container, if it runs, and prepares its new files. What can be
// known before is checked while it still runs.
func (m *move) stopAndPrepare(ctx context.Context) (*Prepared, error) {
	planned := m.c.State.IsRunning()
	if planned {
		if err := m.plan(ctx); err != nil {
			return nil, err
		}
	}
	m.guard.close(ctx)
	// It may have been started just before, or have ended since.
	if planned || m.c.State.IsRunning() {
		m.status("stopping the container")
		m.restart = !m.noStart
		if err := m.stop(ctx); err != nil {
			return nil, err
		}
		m.status("preparing the files")
	}
	early, stop := until(ctx, m.request)
	defer stop()
	prepared, err := m.prepare(early, false)
	if prepared != nil && !planned {
		m.tellDependents(&prepared.Plan)
		m.emit(api.Progress{Plan: &prepared.Plan})
	}
	if err != nil {
		return nil, compat.DockerError(err)
	}
	if err := runnable(prepared.State.Config); err != nil {
		return nil, errors.Join(err, prepared.Abandon(ctx))
	}
	return prepared, nil
}

// stop stops the container as docker stop does, but so that its restart policy holds if
// the daemon ends before it runs again.
func (m *move) stop(ctx context.Context) error {
	if err := m.daemon.Stop(ctx, m.c); err != nil {
		return fmt.Errorf("stop container %s: %w", bare(m.c), err)
	}
	m.c.State.Lock()
	defer m.c.State.Unlock()
	if m.c.State.Running {
		return fmt.Errorf("stop container %s: it was started again", bare(m.c))
	}
	m.stopped = true
	m.c.HasBeenManuallyStopped = m.noStart
	m.save(ctx, m.c)
	return nil
}

// makeSwitch switches the container's files and its record. After an error they are what
// they were, both of them.
func (m *move) makeSwitch(ctx context.Context, prepared *Prepared) (before, to api.Revision, err error) {
	from := m.c.Config.Image
	before, to, err = prepared.Run(ctx)
	if err != nil {
		err = fmt.Errorf("switch the files of container %s: %w", bare(m.c), compat.DockerError(err))
		return before, to, errors.Join(err, m.settle(ctx))
	}
	m.adoptMoved(ctx, prepared.State)
	m.log(m.c, m.action, to, from)
	m.result.Revision, m.result.Before = to, before
	return before, to, nil
}

// settle makes the record say what the files are after a switch that failed.
func (m *move) settle(ctx context.Context) error {
	state, err := m.files.State(ctx, m.c.ID)
	if err != nil {
		return fmt.Errorf("look what the files are: %w", err)
	}
	if state != nil {
		m.adoptMoved(ctx, *state)
	}
	return nil
}

// adoptMoved writes a new state into the record. A rollback takes off volumes that an
// upgrade has brought; of other mounts that stay it warns. An upgrade that is taken back
// has dropped its own volumes, and leaves those that the container had before it.
func (m *move) adoptMoved(ctx context.Context, s revisions.State) {
	m.c.State.Lock()
	defer m.c.State.Unlock()
	if m.action == rollback && !m.watched {
		m.result.Warnings = append(m.result.Warnings, m.detachAdded(ctx, m.c, s)...)
	}
	for path := range m.c.Config.Volumes {
		if _, ok := s.Config.Volumes[path]; !ok && m.c.HasMountFor(filepath.Clean(path)) {
			m.result.Warnings = append(m.result.Warnings, fmt.Sprintf("the volume at %s stays mounted; %s does not ask for it", path, s.Config.Image))
		}
	}
	m.adopt(m.c, s)
	if h := m.c.State.Health; h != nil {
		h.Log = nil // tells of the checks in the other state
	}
	m.save(ctx, m.c)
}

// start starts the container again, if it ran.
func (m *move) start(ctx context.Context) error {
	if !m.restart || m.daemon.IsShuttingDown() {
		return nil
	}
	m.status("starting the container")
	if err := m.daemon.Start(ctx, m.c); err != nil {
		return fmt.Errorf("start container %s: %w", bare(m.c), err)
	}
	m.result.Started = true
	return nil
}

func (m *move) status(text string) { m.emit(api.Progress{Status: text}) }
