package freeze

import (
	"context"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/freezer"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
)

// Daemon is what the daemon does for its containers.
type Daemon interface {
	// Pause and Unpause do what docker pause and unpause do. The container is not locked.
	// Pause returns an error of the class conflict if the container is paused already, or
	// does not run.
	Pause(c *moby.Container) error
	Unpause(c *moby.Container) error
	// Resumed tells the daemon that containerd has let a container go on. The container
	// is not locked.
	Resumed(c *moby.Container) error
	// Save writes a container's record to disk, and shows it to docker ps. The container
	// is locked.
	Save(ctx context.Context, c *moby.Container) error
	// ShowsPaused reports whether docker ps calls a container paused.
	ShowsPaused(c *moby.Container) bool
	// UnrecordedTask returns containerd's task of a container that does not run by the
	// daemon's record, or nil.
	UnrecordedTask(ctx context.Context, c *moby.Container) (containerd.Task, error)
	// Log tells docker events what happens to a container. It adds to attributes, which
	// is not nil.
	Log(c *moby.Container, action moby.EventAction, attributes map[string]string)
}

// Freezer freezes the containers of a daemon.
type Freezer struct {
	daemon Daemon
	frozen freezer.Set
	ending sync.Map // ids of the containers of FreezeToEnd; set with the container locked
}

// New returns a Freezer.
func New(daemon Daemon) *Freezer { return &Freezer{daemon: daemon} }

// patience is how long processes may take to come to a stand.
const patience = time.Second

// IsFreezable reports whether a container's runtime pauses by the control group.
func IsFreezable(c *moby.Container) bool {
	return c.HostConfig.Runtime == moby.StockRuntimeName || c.HostConfig.Runtime == "io.containerd.runc.v2"
}

// Pause returns what freezes a container for as long as it is read. It is nil if the
// container is paused, which must not be noted as frozen by us: after a crash the next
// daemon would end its user's pause, see [Freezer.ThawInterrupted].
func (f *Freezer) Pause(ctx context.Context, c *moby.Container) pause.Func {
	if c.State.IsPaused() {
		return nil
	}
	return func() (thaw func()) { return f.Freeze(ctx, c) }
}

// Commit takes the pause out of what docker commit is made with: in the context that it
// returns the commit freezes the container, see [Freezer.Pause]. find finds the
// container. With a nil Freezer the pause stays the engine's.
func (f *Freezer) Commit(ctx context.Context, config *moby.CreateImageConfig, find func() (*moby.Container, error)) (context.Context, error) {
	if f == nil {
		return ctx, nil
	}
	c, err := find()
	if err != nil || !moby.TakePause(config) {
		return ctx, err
	}
	return pause.With(ctx, f.Pause(ctx, c)), nil
}

// Freeze stops a container until thaw is called. A container that cannot be stopped,
// because it does not run or the system cannot freeze it, is left as it is; one that
// somebody else has paused stays paused after thaw. Until thaw nobody must wait for the
// container's lock: who holds it may wait for the thaw.
func (f *Freezer) Freeze(ctx context.Context, c *moby.Container) (thaw func()) {
	return f.freeze(ctx, c, false)
}

// FreezeToEnd is Freeze for a container that is to end when it is thawed. The caller may
// lock the container before that, because a pause does not wait: it is refused.
func (f *Freezer) FreezeToEnd(ctx context.Context, c *moby.Container) (thaw func()) {
	return f.freeze(ctx, c, true)
}

func (f *Freezer) freeze(ctx context.Context, c *moby.Container, toEnd bool) (thaw func()) {
	if !c.State.IsRunning() {
		return f.freezeUnrecorded(ctx, c)
	}
	thaw, err := f.freezeGroup(ctx, c, toEnd)
	switch {
	case err == nil:
		return thaw
	case cerrdefs.IsConflict(err): // somebody else's pause
		return func() {}
	}
	if err := f.daemon.Pause(c); err != nil {
		if cerrdefs.IsConflict(err) { // somebody else's pause, or it does not run any more
			return func() {}
		}
		// It may be paused even so: containerd can end before it answers.
		log.G(ctx).WithError(err).WithField("container", c.ID).Debug("not paused for the commit")
	}
	return func() { f.Unpause(context.WithoutCancel(ctx), c) }
}

// freezeGroup freezes the control group: to pause by the runtime takes longer than most
// commits, and so does letting go on. The runtime has to be one that would do the same.
func (f *Freezer) freezeGroup(ctx context.Context, c *moby.Container, toEnd bool) (thaw func(), err error) {
	if !IsFreezable(c) {
		return nil, cerrdefs.ErrNotImplemented.WithMessage("runtime " + c.HostConfig.Runtime + " pauses itself")
	}
	// docker pause holds the lock as well: one of the two comes first.
	c.State.Lock()
	defer c.State.Unlock()
	task, err := c.GetRunningTask()
	if err != nil || c.State.Restarting || c.State.Paused {
		return nil, cerrdefs.ErrConflict.WithMessage("container " + c.ID + " does not run, or is paused")
	}
	fctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := f.frozen.Hold(fctx, int(task.Pid()), c.ID)
	if err != nil {
		return nil, err
	}
	held := func() {
		f.ending.Delete(c.ID)
		f.release(context.WithoutCancel(ctx), c, release)
	}
	defer func() {
		if thaw == nil { // a panic
			held()
		}
	}()
	if toEnd {
		f.ending.Store(c.ID, nil)
	}
	f.daemon.Log(c, moby.ActionPause, map[string]string{})
	return held, nil
}

// release thaws a control group. It takes no lock of the container, whose holder may be
// waiting for it.
func (f *Freezer) release(ctx context.Context, c *moby.Container, release func() (last bool, _ error)) {
	if _, err := release(); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Warn("could not thaw the container's control group; asking the runtime to")
		f.Unpause(ctx, c)
		return
	}
	f.daemon.Log(c, moby.ActionUnPause, map[string]string{})
}

// freezeUnrecorded stops a container that does not run by the daemon's record, if it
// does by containerd's. It is read as it is if it cannot be stopped, as others are.
func (f *Freezer) freezeUnrecorded(ctx context.Context, c *moby.Container) (thaw func()) {
	logger := log.G(ctx).WithField("container", c.ID)
	task, err := f.daemon.UnrecordedTask(ctx, c)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
	}
	if task == nil {
		return func() {}
	}
	fctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := f.frozen.Hold(fctx, int(task.Pid()), c.ID)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
		return func() {}
	}
	return func() { thawUnrecorded(context.WithoutCancel(ctx), int(task.Pid()), c.ID, release) }
}

// AwaitPause waits as AwaitThaw, before a container is paused, which is done with the
// container locked: who looks at it meanwhile would wait for the thaw as well. It does not
// wait if the pause is refused.
func (f *Freezer) AwaitPause(c *moby.Container) {
	if f == nil {
		return
	}
	if _, ok := f.ending.Load(c.ID); !ok {
		f.AwaitThaw(c)
	}
}

// AwaitThaw returns when nobody has the container frozen. The container is not locked.
func (f *Freezer) AwaitThaw(c *moby.Container) {
	if f == nil {
		return
	}
	c.State.Lock()
	task, err := c.GetRunningTask()
	c.State.Unlock()
	if err == nil {
		f.frozen.Wait(int(task.Pid()), c.ID)
	}
}
