package daemon

import (
	"context"

	dockerapi "github.com/docker/docker/api"
	containerrouter "github.com/docker/docker/api/server/router/container"
	"github.com/docker/docker/runconfig"

	"github.com/baleen-project/baleen/compat/createroute"
	"github.com/baleen-project/baleen/compat/moby"
)

// AsRequested has what a container is to be created with go through Moby's own route for
// that, as a request of the newest version.
func (daemon *Daemon) AsRequested(ctx context.Context, params moby.ContainerCreateConfig) (moby.ContainerCreateConfig, []string, error) {
	return createroute.Pass(ctx, params, dockerapi.DefaultVersion, daemon.createRoutes)
}

func (daemon *Daemon) createRoutes(take func(moby.ContainerCreateConfig)) []moby.Route {
	decoder := runconfig.ContainerDecoder{GetSysInfo: daemon.RawSysInfo}
	return containerrouter.NewRouter(requested{take: take}, decoder, daemon.RawSysInfo().CgroupUnified).Routes()
}

// requested is a backend that takes what it is to create.
type requested struct {
	containerrouter.Backend
	take func(moby.ContainerCreateConfig)
}

// ContainerCreate creates nothing.
func (r requested) ContainerCreate(_ context.Context, config moby.ContainerCreateConfig) (moby.CreateResponse, error) {
	r.take(config)
	return moby.CreateResponse{}, nil
}
