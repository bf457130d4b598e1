package createroute_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/createroute"
	"github.com/baleen-project/baleen/compat/moby"
)

// route is a route for creating containers that decodes a request, checks that it has a
// command, and adds a label.
func route(take func(moby.ContainerCreateConfig)) moby.APIFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		if ctx.Value(moby.APIVersionKey{}) != "1.51" || r.Header.Get("Content-Type") != "application/json" {
			return errors.New("another request")
		}
		var req moby.CreateRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			return moby.InvalidParameter(err)
		}
		if len(req.Cmd) == 0 {
			return moby.InvalidParameter(errors.New("no command"))
		}
		req.Labels = map[string]string{"seen": "by the route"}
		take(moby.ContainerCreateConfig{Config: req.Config, HostConfig: req.HostConfig, NetworkingConfig: req.NetworkingConfig})
		w.WriteHeader(http.StatusCreated)
		return json.NewEncoder(w).Encode(moby.CreateResponse{Warnings: []string{"seen"}})
	}
}

func routes(take func(moby.ContainerCreateConfig)) []moby.Route {
	other := func(context.Context, http.ResponseWriter, *http.Request, map[string]string) error {
		return errors.New("another route")
	}
	return []moby.Route{
		moby.NewGetRoute("/containers/create", other),
		moby.NewPostRoute("/containers/{name:.*}/start", other),
		moby.NewPostRoute("/containers/create", route(take)),
	}
}

func params(config moby.ContainerConfig, host moby.HostConfig) moby.ContainerCreateConfig {
	return moby.ContainerCreateConfig{
		Name: "web", Platform: &ocispec.Platform{OS: "linux"}, Config: &config, HostConfig: &host,
		NetworkingConfig: &moby.NetworkingConfig{EndpointsConfig: map[string]*moby.EndpointSettings{"net": {}}},
	}
}

func TestPass(t *testing.T) {
	sent := params(moby.ContainerConfig{Cmd: []string{"serve"}, Hostname: "web"}, moby.HostConfig{Privileged: true})
	got, warnings, err := createroute.Pass(t.Context(), sent, "1.51", routes)
	if err != nil || !reflect.DeepEqual(warnings, []string{"seen"}) {
		t.Fatal(warnings, err)
	}
	if got.Name != "web" || got.Platform != sent.Platform {
		t.Errorf("name %q, platform %v", got.Name, got.Platform)
	}
	if got.Config.Hostname != "web" || got.Config.Labels["seen"] == "" || !got.HostConfig.Privileged || got.NetworkingConfig.EndpointsConfig["net"] == nil {
		t.Errorf("config %+v, host %+v, network %+v", got.Config, got.HostConfig, got.NetworkingConfig)
	}
}

// What the daemon has added to a configuration cannot be asked for.
func TestPassAsksForNothingThatTheDaemonAdds(t *testing.T) {
	for _, tc := range []struct {
		name     string
		host     moby.HostConfig
		hostname string
		ports    int
	}{
		{"its own namespaces", moby.HostConfig{}, "web", 1},
		{"a container's network", moby.HostConfig{NetworkMode: "container:db"}, "", 0},
		{"the host's name", moby.HostConfig{UTSMode: "host"}, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ports := moby.PortsOf(map[string]struct{}{"80/tcp": {}})
			sent := params(moby.ContainerConfig{Cmd: []string{"serve"}, Hostname: "web", ExposedPorts: ports}, tc.host)
			got, _, err := createroute.Pass(t.Context(), sent, "1.51", routes)
			if err != nil || got.Config.Hostname != tc.hostname || len(got.Config.ExposedPorts) != tc.ports {
				t.Fatalf("%+v, %v", got.Config, err)
			}
			if sent.Config.Hostname != "web" || len(sent.Config.ExposedPorts) != 1 {
				t.Errorf("what was sent has changed: %+v", sent.Config)
			}
		})
	}
}

func TestPassFails(t *testing.T) {
	answers := func(text string) createroute.Routes {
		return func(func(moby.ContainerCreateConfig)) []moby.Route {
			return []moby.Route{moby.NewPostRoute("/containers/create", func(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
				_, err := w.Write([]byte(text))
				return err
			})}
		}
	}
	for _, tc := range []struct {
		name   string
		sent   moby.ContainerCreateConfig
		routes createroute.Routes
		class  func(error) bool
		text   string
	}{
		{"refused", params(moby.ContainerConfig{}, moby.HostConfig{}), routes, cerrdefs.IsInvalidArgument, "its configuration: no command"},
		{"no route", params(moby.ContainerConfig{}, moby.HostConfig{}), func(func(moby.ContainerCreateConfig)) []moby.Route { return nil }, cerrdefs.IsInternal, "no route"},
		{"no answer", params(moby.ContainerConfig{}, moby.HostConfig{}), answers("<html>"), cerrdefs.IsInternal, "invalid character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := createroute.Pass(t.Context(), tc.sent, "1.51", tc.routes)
			if !tc.class(err) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("error %v, want %q", err, tc.text)
			}
		})
	}
}
