package settings_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
)

// reachesModel reports whether a configuration surely gives a container what an
// image cannot: the plain list of what Docker's documentation warns of.
func reachesModel(c *moby.ContainerConfig, h *moby.HostConfig, networks map[string]*moby.EndpointSettings) bool {
	others := func(modes ...string) bool {
		return slices.ContainsFunc(modes, func(m string) bool { return m == "host" || strings.HasPrefix(m, "container:") })
	}
	for name := range networks {
		if name != "default" && name != "bridge" && name != "none" {
			return true
		}
	}
	for _, o := range h.SecurityOpt {
		if strings.Contains(o, "unconfined") || strings.HasSuffix(o, "false") || strings.HasPrefix(o, "label") {
			return true
		}
	}
	for _, m := range h.Mounts {
		if m.Type == "bind" || m.Source != "" {
			return true
		}
	}
	for _, u := range h.Ulimits {
		if u.Name == "rtprio" || u.Name == "memlock" {
			return true
		}
	}
	return h.Privileged || h.PublishAllPorts || h.OomScoreAdj < 0 || h.CPURealtimePeriod != 0 || h.CPURealtimeRuntime != 0 || h.CgroupParent != "" ||
		len(h.CapAdd)+len(h.Devices)+len(h.DeviceRequests)+len(h.DeviceCgroupRules)+len(h.VolumesFrom)+len(h.Sysctls)+len(h.Links)+len(h.GroupAdd)+len(h.Annotations)+len(h.PortBindings) > 0 ||
		len(h.BlkioWeightDevice)+len(h.BlkioDeviceReadBps)+len(h.BlkioDeviceWriteBps)+len(h.BlkioDeviceReadIOps)+len(h.BlkioDeviceWriteIOps) > 0 ||
		slices.ContainsFunc(h.Binds, func(b string) bool { return strings.Contains(b, ":") }) || h.VolumeDriver != "" || h.OomKillDisable != nil && *h.OomKillDisable ||
		others(string(h.NetworkMode), string(h.PidMode), string(h.IpcMode), string(h.UTSMode), string(h.UsernsMode)) || h.Runtime != "" && h.Runtime != "runc" ||
		h.LogConfig.Type == "" && len(h.LogConfig.Config) > 0 || hasField[moby.ContainerConfig]("MacAddress") && reflect.ValueOf(c).Elem().FieldByName("MacAddress").String() != ""
}

// FuzzTrust: what a checkpoint asks for is told, or it is refused as it stands: no
// null that Moby would follow, nothing that a terminal would obey, and no text
// that is longer than a person reads. What surely reaches out of a container is
// always asked for, and who asks for nothing gets nothing.
func FuzzTrust(f *testing.F) {
	for _, texts := range [][3]string{
		{`{}`, `{}`, `{}`}, {`null`, `null`, `null`}, {`{}`, `{"Ulimits":[null]}`, `{}`}, {`{}`, `{"Ulimits":[{"Name":"rtprio","Hard":9}],"Mounts":[{}]}`, `{"bridge":null}`},
		{`{}`, `{"NetworkMode":"secret-backend"}`, `{}`}, {`{}`, `{"Runtime":"kata","SecurityOpt":["no-new-privileges:false"]}`, `{"a":{"MacAddress":"x"}}`},
		{`{"Env":["\u001b[2J"],"MacAddress":"02:42:ac:11:00:02"}`, `{"CapAdd":["\u001b[2J\n\u202e"],"Sysctls":{"a\u0000":"b"}}`, `{"\u009b":{}}`},
		{`{"Healthcheck":{"Test":["CMD"]},"Labels":{"a":"b"}}`, `{"Memory":1,"NanoCpus":-1,"RestartPolicy":{"Name":"always"}}`, `{"bridge":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"x"}}}`},
		{`{"Image":"i"}`, `{"PortBindings":{"80/tcp":[{"HostPort":"1"}]},"Links":["a:b"],"LogConfig":{"Config":{"a":"b"}}}`, `{"none":{"IPAMConfig":{"IPv4Address":"1.2.3.4"}}}`},
		{`{"Volumes":{"/a":{}},"ExposedPorts":{"80":null}}`, `{"Binds":["/a:/b","/c"],"BlkioWeightDevice":[{"Path":"/dev/sda"}],"Tmpfs":{"/x":"size=1,rbind"}}`, `[]`},
	} {
		f.Add(texts[0], texts[1], texts[2])
	}
	f.Fuzz(func(t *testing.T, config, host, networks string) {
		if len(config)+len(host)+len(networks) > 32<<10 {
			return
		}
		described := checkpoint.Container{ID: "1", Config: json.RawMessage(config), HostConfig: json.RawMessage(host), Networks: json.RawMessage(networks)}
		asked, err := settings.Asked(described, &moby.HostConfig{})
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("an error of another class: %v", err)
			}
			return
		}
		for _, text := range asked {
			odd := func(r rune) bool { return !unicode.IsPrint(r) }
			if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) || len(text) > 2000 {
				t.Errorf("it asks for %.3000q", text)
			}
		}
		if list := settings.List(asked); len(list) > 64<<10 {
			t.Errorf("the list has %d bytes", len(list))
		}
		var c moby.ContainerConfig
		var h moby.HostConfig
		var n map[string]*moby.EndpointSettings
		for _, part := range []struct {
			text string
			into any
		}{{config, &c}, {host, &h}, {networks, &n}} {
			if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
				t.Fatalf("%s was read, and cannot be: %v", part.text, err)
			}
		}
		if reachesModel(&c, &h, n) && len(asked) == 0 {
			t.Errorf("%s, %s, %s ask for nothing", config, host, networks)
		}
		if len(asked) > 0 && reflect.DeepEqual(h, moby.HostConfig{}) && reflect.DeepEqual(c, moby.ContainerConfig{}) && len(n) == 0 {
			t.Errorf("an empty configuration asks for %q", asked)
		}
	})
}
