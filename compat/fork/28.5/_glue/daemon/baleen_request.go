package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/containerd/log"
	dockerapi "github.com/docker/docker/api"
	"github.com/docker/docker/api/server/httputils"
	containerrouter "github.com/docker/docker/api/server/router/container"
	"github.com/docker/docker/api/types/backend"
	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/runconfig"
)

// asRequest has what a container is to be created with go through Moby's own route
// for that, as a request of the newest version: it decodes, checks and adapts it, and
// hands on what it would create. The checks of the daemon itself come when that is
// created, before anything is made.
func (daemon *Daemon) asRequest(ctx context.Context, params backend.ContainerCreateConfig) (_ backend.ContainerCreateConfig, warnings []string, err error) {
	body, err := json.Marshal(containertypes.CreateRequest{
		Config: asAsked(params.Config, params.HostConfig), HostConfig: params.HostConfig, NetworkingConfig: params.NetworkingConfig,
	})
	if err != nil {
		return params, nil, errdefs.InvalidParameter(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, createRoute, bytes.NewReader(body))
	if err != nil {
		return params, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, requested := &answer{}, &requested{}
	create, err := daemon.createHandler(requested)
	if err != nil {
		return params, nil, err
	}
	if err := create(context.WithValue(ctx, httputils.APIVersionKey{}, dockerapi.DefaultVersion), answer, req, nil); err != nil {
		return params, nil, fmt.Errorf("its configuration: %w", err)
	}
	var response containertypes.CreateResponse
	if err := json.Unmarshal(answer.Bytes(), &response); err != nil {
		return params, nil, errdefs.System(err)
	}
	requested.config.Name, requested.config.Platform = params.Name, params.Platform
	return requested.config, response.Warnings, nil
}

const createRoute = "/containers/create"

func (daemon *Daemon) createHandler(b containerrouter.Backend) (httputils.APIFunc, error) {
	info := daemon.RawSysInfo()
	decoder := runconfig.ContainerDecoder{GetSysInfo: daemon.RawSysInfo}
	for _, route := range containerrouter.NewRouter(b, decoder, info.CgroupUnified).Routes() {
		if route.Method() == http.MethodPost && route.Path() == createRoute {
			return route.Handler(), nil
		}
	}
	return nil, errdefs.System(errors.New("there is no route for creating containers"))
}

// asAsked is a configuration without what the daemon has added to it: who asks for
// that is refused.
func asAsked(config *containertypes.Config, host *containertypes.HostConfig) *containertypes.Config {
	asked := *config
	if host.NetworkMode.IsContainer() {
		asked.Hostname, asked.ExposedPorts = "", nil
	}
	if host.UTSMode.IsHost() {
		asked.Hostname = ""
	}
	return &asked
}

// requested is a backend that takes what it is to create.
type requested struct {
	containerrouter.Backend
	config backend.ContainerCreateConfig
}

// ContainerCreate creates nothing.
func (r *requested) ContainerCreate(_ context.Context, config backend.ContainerCreateConfig) (containertypes.CreateResponse, error) {
	r.config = config
	return containertypes.CreateResponse{}, nil
}

// answer is that of a route.
type answer struct {
	bytes.Buffer
	header http.Header
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (*answer) WriteHeader(int) {}

// plainHostConfig is what a container gets of which nothing is asked.
func (daemon *Daemon) plainHostConfig() (*containertypes.HostConfig, error) {
	config, host := daemon.config(), &containertypes.HostConfig{}
	if _, err := daemon.verifyContainerSettings(config, host, nil, false); err != nil {
		return nil, errdefs.System(err)
	}
	if err := daemon.adaptContainerSettings(&config.Config, host); err != nil {
		return nil, errdefs.System(err)
	}
	if err := daemon.mergeAndVerifyLogConfig(&host.LogConfig); err != nil {
		return nil, errdefs.System(err)
	}
	return host, nil
}

// errPanicked is the class of errors that have been panics.
var errPanicked = errors.New("this is a bug, and the daemon's log says where")

// errorOfPanic is deferred where the daemon works with what others have written: it
// makes an error of a panic, so that what has begun is ended.
func errorOfPanic(ctx context.Context, err *error) {
	if p := recover(); p != nil {
		log.G(ctx).WithField("stack", string(debug.Stack())).Errorf("panic: %v", p)
		*err = errdefs.System(fmt.Errorf("panic: %v: %w", p, errPanicked))
	}
}
