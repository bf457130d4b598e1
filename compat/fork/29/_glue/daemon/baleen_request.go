package daemon

import (
	"context"

	dconfig "github.com/moby/moby/v2/daemon/config"
	containerrouter "github.com/moby/moby/v2/daemon/server/router/container"

	"github.com/baleen-project/baleen/compat/createroute"
	"github.com/baleen-project/baleen/compat/moby"
)

// AsRequested has what a container is to be created with go through Moby's own route for
// that, as a request of the newest version.
func (daemon *Daemon) AsRequested(ctx context.Context, params moby.ContainerCreateConfig) (moby.ContainerCreateConfig, []string, error) {
	return createroute.Pass(ctx, params, dconfig.MaxAPIVersion, daemon.createRoutes)
}

func (daemon *Daemon) createRoutes(take func(moby.ContainerCreateConfig)) []moby.Route {
	return containerrouter.NewRouter(requested{Backend: daemon, take: take}).Routes()
}

// requested is the daemon, but that it takes what it is to create.
type requested struct {
	containerrouter.Backend
	take func(moby.ContainerCreateConfig)
}

// ContainerCreate creates nothing.
func (r requested) ContainerCreate(_ context.Context, config moby.ContainerCreateConfig) (moby.CreateResponse, error) {
	r.take(config)
	return moby.CreateResponse{}, nil
}
