package daemon

import (
	"context"
	"sync"

	c8dimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/log"
	"github.com/docker/docker/container"
	ctrd "github.com/docker/docker/daemon/containerd"

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
	return imageservice.New(imageservice.Config{
		Client:      cfg.Client,
		Containers:  cfg.Containers,
		Snapshotter: cfg.Snapshotter,
		Owner:       daemon.id,
		Mounter:     cfg.RefCountMounter,
		IDMapping:   cfg.IDMapping,
		Events:      cfg.EventsService,
		Options:     options,
		Upstream:    ctrd.NewService(cfg),
	})
}

// pauseForCommit pauses a container, and returns what thaws it: once, however
// often it is called, and also by way of the context. A container that cannot
// be paused, because it does not run or the system cannot freeze it, or that
// somebody else paused just now, is committed as it is, and not thawed.
func (daemon *Daemon) pauseForCommit(ctx context.Context, c *container.Container) (context.Context, func()) {
	if err := daemon.containerPause(c); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Debug("not paused for the commit")
		return ctx, func() {}
	}
	thaw := sync.OnceFunc(func() {
		if err := daemon.containerUnpause(c); err != nil {
			log.G(ctx).WithError(err).WithField("container", c.ID).Warn("could not thaw the container after a commit")
		}
	})
	return imageservice.WithThaw(ctx, thaw), thaw
}
