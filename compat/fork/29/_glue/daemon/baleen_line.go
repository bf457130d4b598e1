package daemon

import (
	"context"

	ctrd "github.com/moby/moby/v2/daemon/containerd"
	"github.com/moby/moby/v2/daemon/volume/service/opts"

	"github.com/baleen-project/baleen/compat/moby"
)

// What the glue of all lines names by another path on each.
type (
	mobyImages       = ctrd.ImageService
	mobyImagesConfig = ctrd.ImageServiceConfig
)

var (
	newMobyImages       = ctrd.NewService
	withCreateReference = opts.WithCreateReference
)

// killContainer ends a container's processes.
func killContainer(ctx context.Context, daemon *Daemon, c *moby.Container) error {
	return daemon.kill(ctx, c)
}
