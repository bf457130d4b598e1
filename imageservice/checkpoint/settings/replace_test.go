package settings_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
)

// published is a container that reaches out in all ways that a request can replace.
var published = checkpoint.Container{
	ID:     "0123456789ab",
	Config: json.RawMessage(`{"Hostname":"web","ExposedPorts":{"80/tcp":{}},"Volumes":{"/cache":{}}}`),
	HostConfig: json.RawMessage(`{"NetworkMode":"front","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},
		"Binds":["/srv:/srv:ro","data:/data"],"Mounts":[{"Type":"volume","Source":"m","Target":"/m/"}],"Tmpfs":{"/tmp":""}}`),
	Networks: json.RawMessage(`{"front":{"IPAMConfig":{"IPv4Address":"10.0.0.7"},"MacAddress":"02:42:0a:00:00:07"}}`),
	Volumes:  []string{"/cache", "/srv", "/data", "/m"},
}

// TestRestoreReplaces: what a request says otherwise is as it says, needs no trust, and the
// rest is as it was.
func TestRestoreReplaces(t *testing.T) {
	const all = "published port 80/tcp; network front; volume or folder /srv; volume or folder data"
	for name, test := range map[string]struct {
		request         api.RestoreRequest
		has, hasNot     []string // of the JSON of all
		asks, asksNot   string
		volumes, errors string
	}{
		"nothing": {asks: "80/tcp", has: []string{`"HostPort":"8080"`, `"front"`, `"02:42:0a:00:00:07"`, `"/srv:/srv:ro"`}, volumes: "/cache /srv /data /m"},
		"ports": {
			request: api.RestoreRequest{Publish: []api.PublishedPort{{Port: "80/tcp", HostIP: "127.0.0.1", HostPort: "8081"}, {Port: "53/udp"}}},
			has:     []string{`"HostPort":"8081"`, `"127.0.0.1"`, `"53/udp":{}`, `"80/tcp":{}`}, hasNot: []string{"8080"}, asksNot: "port",
		},
		"no ports": {request: api.RestoreRequest{Unpublished: true}, has: []string{`"80/tcp":{}`}, hasNot: []string{"8080"}, asksNot: "port"},
		"network": {
			request: api.RestoreRequest{Network: "back", IP: "10.0.1.9"},
			has:     []string{`"NetworkMode":"back"`, `"back":{`, `"IPv4Address":"10.0.1.9"`}, hasNot: []string{"front", "10.0.0.7", "02:42"}, asksNot: "front",
		},
		"network of the host": {request: api.RestoreRequest{Network: "host"}, has: []string{`"NetworkMode":"host"`}, hasNot: []string{"front"}, asksNot: "network"},
		"address":             {request: api.RestoreRequest{IP: "10.0.0.8"}, has: []string{`"IPv4Address":"10.0.0.8"`, "front"}, hasNot: []string{"10.0.0.7", "02:42"}, asksNot: "MAC"},
		"address 6":           {request: api.RestoreRequest{IP: "fd00::8"}, has: []string{`"IPv6Address":"fd00::8"`}, hasNot: []string{"10.0.0.7"}},
		"not an address":      {request: api.RestoreRequest{Network: "none", IP: "10.0.0.8"}, errors: "--ip"},
		"host name":           {request: api.RestoreRequest{Hostname: "copy"}, has: []string{`"Hostname":"copy"`}, hasNot: []string{`"web"`}},
		"volumes": {
			request: api.RestoreRequest{Volumes: []string{"copy:/data", "/here:/srv/:ro", "c:/cache", "n:/m", "t:/tmp", "new:/new"}},
			has:     []string{`"copy:/data"`, `"/here:/srv/:ro"`, `"c:/cache"`, `"n:/m"`, `"t:/tmp"`, `"new:/new"`},
			hasNot:  []string{`"data:/data"`, `"/srv:/srv:ro"`, `"/cache":{}`, `"Target"`, `"/tmp":""`}, asksNot: "volume",
		},
		"one volume": {
			request: api.RestoreRequest{Volumes: []string{"copy:/data"}},
			has:     []string{`"copy:/data"`, `"/srv:/srv:ro"`}, asks: "/srv", asksNot: "folder data", volumes: "/cache /srv /m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, host, networks, asked, volumes, err := settings.Replaced(published, test.request)
			if test.errors != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.errors) {
					t.Errorf("the error is %v, want one about %s", err, test.errors)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, needs := config+host+networks, strings.Join(asked, "; ")
			for _, part := range test.has {
				if !strings.Contains(text, part) {
					t.Errorf("%s is not in\n%s", part, text)
				}
			}
			for _, part := range test.hasNot {
				if strings.Contains(text, part) {
					t.Errorf("%s is in\n%s", part, text)
				}
			}
			if !strings.Contains(needs, test.asks) || test.asksNot != "" && strings.Contains(needs, test.asksNot) {
				t.Errorf("it asks for %s (at first for %s)", needs, all)
			}
			if test.volumes != "" && !slices.Equal(volumes, strings.Fields(test.volumes)) {
				t.Errorf("the volumes of the checkpoint are %q, want %s", volumes, test.volumes)
			}
		})
	}
}

// TestProcessesKeepTheirNetworkNamespace: another network is one for a namespace of the
// same owner.
func TestProcessesKeepTheirNetworkNamespace(t *testing.T) {
	kinds := [][]string{{"", "default", "bridge", "none", "back"}, {"host"}, {"container:db", "container:web"}}
	for had, from := range kinds {
		for has, to := range kinds {
			for _, mode := range from {
				for _, network := range to {
					of := published
					of.HostConfig = json.RawMessage(`{"NetworkMode":"` + mode + `"}`)
					c, err := settings.Read(of)
					if err != nil {
						t.Fatal(err)
					}
					err = settings.Replacement{RestoreRequest: api.RestoreRequest{Network: network}}.CheckProcesses(c, nil)
					if refused := errdefs.IsNotImplemented(err); refused != (had != has && network != "") || !refused && err != nil {
						t.Errorf("from network %q to %q: %v", mode, network, err)
					}
				}
			}
		}
	}
}

// TestProcessesKeepTheirMounts: a volume can be another one where the processes had one, and
// nowhere else. What was in memory CRIU has in the checkpoint.
func TestProcessesKeepTheirMounts(t *testing.T) {
	of := published
	of.HostConfig = json.RawMessage(`{"Binds":["data:/data"],"Mounts":[{"Type":"volume","Target":"/m"},{"Type":"tmpfs","Target":"/memory"}],"Tmpfs":{"/tmp":""}}`)
	of.Volumes = []string{"/cache", "/data", "/m", "/memory"}
	for _, test := range []struct {
		request api.RestoreRequest
		error   string
	}{
		{request: api.RestoreRequest{Name: "copy", Network: "back", Unpublished: true}},
		{request: api.RestoreRequest{Volumes: []string{"copy:/data/:ro", "/here:/cache", "n:/m"}}},
		{api.RestoreRequest{Volumes: []string{"copy:/data", "new:/new"}}, "no volume at /new"},
		{api.RestoreRequest{Volumes: []string{"new:/data/below"}}, "no volume at /data/below"},
		{api.RestoreRequest{Volumes: []string{"t:/tmp"}}, "no volume at /tmp"},
		{api.RestoreRequest{Volumes: []string{"t:/memory/"}}, "no volume at /memory"},
		{api.RestoreRequest{Hostname: "twin"}, "host name"},
	} {
		c, err := settings.Read(of)
		if err != nil {
			t.Fatal(err)
		}
		err = settings.Replacement{RestoreRequest: test.request}.CheckProcesses(c, of.Volumes)
		switch {
		case test.error == "" && err != nil:
			t.Errorf("%+v: %v", test.request, err)
		case test.error != "" && (!errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), test.error)):
			t.Errorf("%+v: the error is %v, want one about %s", test.request, err, test.error)
		}
	}
}
