package createroute

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/baleen-project/baleen/compat/moby"
)

// path is that of the route, without the version of the API.
const path = "/containers/create"

// Routes returns the engine's routes of containers, on a backend whose ContainerCreate
// gives what it gets to take, and creates nothing.
type Routes func(take func(moby.ContainerCreateConfig)) []moby.Route

// Pass sends what a container is to be created with through the route, as a request of a
// version of the API. The route decodes, checks and adapts it; Pass returns what the route
// would have created, with the name and the platform of params, and the route's warnings.
// What the route refuses is an error of the route's class. The daemon makes checks of its
// own when the container is created, before it makes anything.
func Pass(ctx context.Context, params moby.ContainerCreateConfig, version string, routes Routes) (taken moby.ContainerCreateConfig, warnings []string, err error) {
	body, err := json.Marshal(moby.CreateRequest{
		Config: asked(params.Config, params.HostConfig), HostConfig: params.HostConfig, NetworkingConfig: params.NetworkingConfig,
	})
	if err != nil {
		return taken, nil, moby.InvalidParameter(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return taken, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	create, err := find(routes(func(c moby.ContainerCreateConfig) { taken = c }))
	if err != nil {
		return taken, nil, err
	}
	answer := &answer{}
	if err := create(context.WithValue(ctx, moby.APIVersionKey{}, version), answer, req, nil); err != nil {
		return taken, nil, fmt.Errorf("its configuration: %w", err)
	}
	var response moby.CreateResponse
	if err := json.Unmarshal(answer.Bytes(), &response); err != nil {
		return taken, nil, moby.System(err)
	}
	taken.Name, taken.Platform = params.Name, params.Platform
	return taken, response.Warnings, nil
}

func find(routes []moby.Route) (moby.APIFunc, error) {
	for _, route := range routes {
		if route.Method() == http.MethodPost && route.Path() == path {
			return route.Handler(), nil
		}
	}
	return nil, moby.System(errors.New("there is no route for creating containers"))
}

// asked is a configuration without what the daemon has added to it: who asks for that is
// refused.
func asked(config *moby.ContainerConfig, host *moby.HostConfig) *moby.ContainerConfig {
	asked := *config
	if host.NetworkMode.IsContainer() {
		asked.Hostname, asked.ExposedPorts = "", nil
	}
	if host.UTSMode.IsHost() {
		asked.Hostname = ""
	}
	return &asked
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
