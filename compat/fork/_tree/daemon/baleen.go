package daemon

import (
	"context"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	c8dimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/log"
	"github.com/docker/docker/container"
	ctrd "github.com/docker/docker/daemon/containerd"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/baleen-project/baleen/imageservice"
)

// baleenIsOff is logged at start when the daemon runs on a graph driver.
const baleenIsOff = `Baleen's image service is not in use: it needs the containerd image store. ` +
	`To use it, set "features": {"containerd-snapshotter": true} in daemon.json; ` +
	`images and containers of the graph driver stay where they are, but are hidden meanwhile.`

// imageResolver finds the containerd image that a reference means.
type imageResolver interface {
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)
}

// newBaleenService puts Baleen's image service in front of Moby's, which goes
// on serving the verbs that Baleen leaves to it.
func (daemon *Daemon) newBaleenService(options imageservice.Options, cfg ctrd.ImageServiceConfig) ImageService {
	containers := cfg.Containers
	cfg.Containers = storeWithRevisions{containers, daemon}
	return imageservice.New(imageservice.Config{
		Client:      cfg.Client,
		Containers:  containers,
		Snapshotter: cfg.Snapshotter,
		Owner:       daemon.id,
		Mounter:     cfg.RefCountMounter,
		IDMapping:   cfg.IDMapping,
		Events:      cfg.EventsService,
		Options:     options,
		Upstream:    upstreamImages{ctrd.NewService(cfg), daemon},
	})
}

// pauseForCommit leaves it to the commit to pause a container, for as long as
// it reads it. One that cannot be paused, because it does not run or the system
// cannot freeze it, is committed as it is; one that somebody else paused is not
// thawed.
func (daemon *Daemon) pauseForCommit(ctx context.Context, c *container.Container) context.Context {
	return imageservice.WithPause(ctx, func() (thaw func()) {
		if c.IsPaused() || !c.IsRunning() {
			return func() {}
		}
		if err := daemon.containerPause(c); err != nil {
			// It may be paused even so: containerd can end before it answers.
			log.G(ctx).WithError(err).WithField("container", c.ID).Debug("not paused for the commit")
		}
		return func() { daemon.thaw(context.WithoutCancel(ctx), c) }
	})
}

// thaw ends a pause of ours. While containerd is away it cannot, and goes on
// trying in the background: the pause must not outlive the commit.
func (daemon *Daemon) thaw(ctx context.Context, c *container.Container) {
	if daemon.containerUnpause(c) == nil {
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

// resumeTask lets a container go on whatever this daemon believes of it:
// containerd knows whether it is paused.
func (daemon *Daemon) resumeTask(ctx context.Context, c *container.Container) error {
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
		if err := task.Resume(ctx); err != nil {
			return err
		}
	}
	return daemon.ProcessEvent(c.ID, libcontainerdtypes.EventResumed, libcontainerdtypes.EventInfo{})
}

// thawInterrupted lets those containers go on that a commit had paused when the
// daemon crashed, and that outlived it (live-restore).
func (daemon *Daemon) thawInterrupted(ctx context.Context) {
	s, ok := daemon.imageService.(*imageservice.Service)
	if !ok {
		return
	}
	for _, id := range s.Interrupted() {
		// Whether it is paused containerd knows: the daemon may have ended
		// before it had noted so.
		if c := daemon.containers.Get(id); c != nil && c.IsRunning() {
			daemon.thaw(ctx, c)
		}
	}
}
