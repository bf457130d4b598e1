package daemon

import (
	"context"

	c8dimages "github.com/containerd/containerd/v2/core/images"
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
func (daemon *Daemon) newBaleenService(cfg ctrd.ImageServiceConfig) ImageService {
	return imageservice.New(imageservice.Config{
		Client:      cfg.Client,
		Containers:  cfg.Containers,
		Snapshotter: cfg.Snapshotter,
		Mounter:     cfg.RefCountMounter,
		IDMapping:   cfg.IDMapping,
		Upstream:    ctrd.NewService(cfg),
	})
}
