package daemon

import (
	"context"
	"path/filepath"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	c8dimages "github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/freezer"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// imageResolver finds the containerd image that a reference means.
type imageResolver interface {
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)
}

// newBaleenService puts Baleen's image service in front of Moby's, which goes
// on serving the verbs that Baleen leaves to it.
func (daemon *Daemon) newBaleenService(options imageservice.Options, cfg mobyImagesConfig) ImageService {
	containers := cfg.Containers
	images := lifecycle.NewImages(containers)
	cfg.Containers = images
	upstream := newMobyImages(cfg)
	service := imageservice.New(imageservice.Config{
		Client:      cfg.Client,
		Containers:  containers,
		Snapshotter: cfg.Snapshotter,
		Owner:       daemon.id,
		Mounter:     cfg.RefCountMounter,
		Roots:       filepath.Join(daemon.root, "rootfs", cfg.Snapshotter),
		IDMapping:   cfg.IDMapping,
		Events:      cfg.EventsService,
		Thaw:        func(ctx context.Context, id string) error { return thawGroup(ctx, cfg.Client, id) },
		TempMounts:  filepath.Join(daemon.root, "baleen-mounts"),
		Options:     options,
		SealCommits: func() bool { return daemon.Features()[imageservice.FeatureSealCommits] },
		Upstream:    upstreamImages{upstream, images},
	})
	upstream.Use(service)
	images.Use(service)
	daemon.baleen = baleenState{images: images, operations: lifecycle.New(lifecycle.Config{
		Daemon:    baleenRoles{daemon},
		Files:     lifecycle.ServiceFiles(service),
		Tasks:     lifecycle.ClientTasks(cfg.Client),
		Images:    images,
		InitLayer: setupInitLayer(daemon.idMapping.RootPair()),
		Probe:     probeDefaults,
	})}
	return imageVerbs{service, upstreamImages{upstream, images}}
}

// thawGroup lets a container go on that a commit had frozen when the daemon
// crashed. That is done before containers are loaded: without live-restore they
// are then asked to end, and what stands still would be killed instead.
func thawGroup(ctx context.Context, client *containerd.Client, id string) error {
	c, err := client.LoadContainer(ctx, id)
	if err != nil {
		return err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return err
	}
	status, err := task.Status(ctx)
	if err != nil || status.Status != containerd.Running {
		return err // what containerd has paused is not ours to thaw
	}
	return freezer.Thaw(int(task.Pid()), id)
}

// pauseForCommit leaves it to the commit to pause a container, for as long as
// it reads it. One that cannot be paused, because it does not run or the system
// cannot freeze it, is committed as it is; one that somebody else paused is not
// thawed. A commit of a graph driver does not know of that: the container is paused
// here, as by Moby, until done is called.
func (daemon *Daemon) pauseForCommit(ctx context.Context, c *moby.Container) (_ context.Context, done func()) {
	if daemon.baleen.operations == nil {
		_ = daemon.containerPause(c) // so does Moby
		return ctx, func() { _ = daemon.containerUnpause(c) }
	}
	return imageservice.WithPause(ctx, daemon.pauser(ctx, c)), func() {}
}

// pauser returns what pauses a container, and in turn returns what thaws it.
func (daemon *Daemon) pauser(ctx context.Context, c *moby.Container) func() (thaw func()) {
	return func() (thaw func()) {
		if !c.State.IsRunning() {
			return daemon.freezeUnrecorded(ctx, c)
		}
		thaw, err := daemon.freeze(ctx, c)
		switch {
		case err == nil:
			return thaw
		case cerrdefs.IsConflict(err): // somebody else's pause
			return func() {}
		}
		if err := daemon.containerPause(c); err != nil {
			// It may be paused even so: containerd can end before it answers.
			log.G(ctx).WithError(err).WithField("container", c.ID).Debug("not paused for the commit")
		}
		return func() { daemon.thaw(context.WithoutCancel(ctx), c) }
	}
}

// frozen are the containers that commits have stopped for a moment.
var frozen freezer.Set

// freezePatience is how long processes may take to come to a stand.
const freezePatience = time.Second

// freezes reports whether a container's runtime pauses by the control group.
func freezes(c *moby.Container) bool {
	return c.HostConfig.Runtime == moby.StockRuntimeName || c.HostConfig.Runtime == "io.containerd.runc.v2"
}

// freeze stops a container by its control group: to pause it by the runtime
// takes longer than most commits, and so does letting it go on. The runtime has
// to be one that would do the same.
func (daemon *Daemon) freeze(ctx context.Context, c *moby.Container) (thaw func(), _ error) {
	if !freezes(c) {
		return nil, cerrdefs.ErrNotImplemented.WithMessage("runtime " + c.HostConfig.Runtime + " pauses itself")
	}
	c.Lock()
	defer c.Unlock()
	task, err := c.GetRunningTask()
	if err != nil || c.State.Restarting || c.State.Paused && !frozen.Held(int(task.Pid()), c.ID) {
		return nil, cerrdefs.ErrConflict.WithMessage("it is not running, or paused")
	}
	fctx, cancel := context.WithTimeout(ctx, freezePatience)
	defer cancel()
	release, err := frozen.Hold(fctx, int(task.Pid()), c.ID)
	if err != nil {
		return nil, err
	}
	c.State.Paused = true // for `docker exec` and others to say so
	daemon.LogContainerEvent(c, moby.ActionPause)
	return func() {
		c.Lock()
		last, err := release()
		if now, _ := c.GetRunningTask(); now != nil && now.Pid() == task.Pid() {
			c.State.Paused = c.State.Paused && !last
		} // else it was restarted, and that is another pause
		c.Unlock()
		if err != nil {
			log.G(ctx).WithError(err).WithField("container", c.ID).Warn("could not thaw the container's control group; asking the runtime to")
			daemon.thaw(context.WithoutCancel(ctx), c)
			return
		}
		daemon.LogContainerEvent(c, moby.ActionUnPause)
		if last { // who renamed it meanwhile, for example, noted that it was paused
			daemon.tellThawed(context.WithoutCancel(ctx), c)
		}
	}, nil
}

// freezeUnrecorded stops a container that does not run by the daemon's record, if it
// does by containerd's. It is read as it is if it cannot be stopped, as others are.
func (daemon *Daemon) freezeUnrecorded(ctx context.Context, c *moby.Container) (thaw func()) {
	logger := log.G(ctx).WithField("container", c.ID)
	task, err := daemon.baleen.operations.UnrecordedTask(ctx, c)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
	}
	if task == nil {
		return func() {}
	}
	fctx, cancel := context.WithTimeout(ctx, freezePatience)
	defer cancel()
	release, err := frozen.Hold(fctx, int(task.Pid()), c.ID)
	if err != nil {
		logger.WithError(err).Warn("not paused for the commit")
		return func() {}
	}
	return func() {
		if _, err := release(); err != nil {
			logger.WithError(err).Error("could not let the container go on after a commit")
		}
	}
}

// awaitThaw returns when no commit or snapshot has the container frozen. It is
// for what would fail meanwhile, or have no effect: a frozen process does not
// heed its stop signal, and would be killed when the patience of `docker stop`
// ends. The container is not locked.
func (daemon *Daemon) awaitThaw(c *moby.Container) {
	c.Lock()
	task, err := c.GetRunningTask()
	c.Unlock()
	if err == nil {
		frozen.Wait(int(task.Pid()), c.ID)
	}
}

// keepThawed is awaitThaw for what lasts: no commit or snapshot freezes the
// container before release is called.
func (daemon *Daemon) keepThawed(c *moby.Container) (release func()) {
	c.Lock()
	task, err := c.GetRunningTask()
	c.Unlock()
	if err != nil {
		return func() {}
	}
	return frozen.KeepThawed(int(task.Pid()), c.ID)
}

// thaw ends a pause of ours. While containerd is away it cannot, and goes on
// trying in the background: the pause must not outlive the commit.
func (daemon *Daemon) thaw(ctx context.Context, c *moby.Container) {
	if daemon.containerUnpause(c) == nil {
		daemon.tellThawed(ctx, c)
		return
	}
	err := daemon.resumeTask(ctx, c)
	if err == nil {
		return
	}
	logger := log.G(ctx).WithField("container", c.ID)
	logger.WithError(err).Warn("could not thaw the container after a commit; trying again")
	go func() {
		for wait := 100 * time.Millisecond; err != nil; wait = min(2*wait, 5*time.Second) {
			time.Sleep(wait)
			err = daemon.resumeTask(ctx, c)
		}
		logger.Info("the container goes on after a commit")
	}()
}

// tellThawed sees to it that `docker ps`, and what is written down, do not go on
// calling a container paused. Moby tells of a change only when it could write it
// down, which on a full disk it could not, and does not try again.
func (daemon *Daemon) tellThawed(ctx context.Context, c *moby.Container) {
	told := func() bool {
		s, err := daemon.containersReplica.Snapshot().Get(c.ID)
		return err != nil || !s.Paused
	}
	if told() {
		return
	}
	go func() {
		for wait := 100 * time.Millisecond; !told(); wait = min(2*wait, 5*time.Second) {
			c.Lock()
			if c.State.Paused || c.State.RemovalInProgress || c.State.Dead { // by somebody else
				c.Unlock()
				return
			}
			err := c.CheckpointTo(ctx, daemon.containersReplica)
			c.Unlock()
			if err != nil {
				log.G(ctx).WithError(err).WithField("container", c.ID).Debug("could not save container to disk; trying again")
			}
			time.Sleep(wait)
		}
	}()
}

// resumeTask lets a container go on whatever this daemon believes of it:
// containerd knows whether it is paused.
func (daemon *Daemon) resumeTask(ctx context.Context, c *moby.Container) error {
	c.Lock()
	task, err := c.GetRunningTask()
	c.Unlock()
	if err != nil {
		return nil // it has ended
	}
	status, err := task.Status(ctx)
	if err != nil {
		return err
	}
	if status.Status == containerd.Paused || status.Status == containerd.Pausing {
		err = task.Resume(ctx)
	} else {
		err = freezer.Thaw(int(task.Pid()), c.ID) // frozen without containerd
	}
	if err != nil {
		return err
	}
	return daemon.ProcessEvent(c.ID, moby.TaskResumed, moby.TaskEventInfo{})
}

// mendInterrupted undoes, when all containers have been loaded, what a daemon
// that crashed has left of them.
func (daemon *Daemon) mendInterrupted(ctx context.Context) {
	s, err := daemon.baleenService()
	if err != nil {
		return
	}
	daemon.thawInterrupted(ctx, s)
	daemon.cleaner(s).Mend(ctx)
}

// thawInterrupted lets those containers go on that a commit had paused by their
// runtime when the daemon crashed, and that outlived it (live-restore). Those of
// runc are frozen instead: one of them that is paused is so by its user's wish.
func (daemon *Daemon) thawInterrupted(ctx context.Context, s *imageservice.Service) {
	for _, id := range s.Interrupted() {
		// Whether it is paused containerd knows: the daemon may have ended
		// before it had noted so.
		if c := daemon.containers.Get(id); c != nil && c.State.IsRunning() && !freezes(c) {
			daemon.thaw(ctx, c)
		}
	}
}
