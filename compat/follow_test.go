package compat_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

type config = moby.ContainerConfig

func ports(names ...string) moby.PortSet {
	set := map[string]struct{}{}
	for _, n := range names {
		set[n] = struct{}{}
	}
	return moby.PortsOf(set)
}

func TestFollow(t *testing.T) {
	set := func(names ...string) map[string]struct{} {
		all := map[string]struct{}{}
		for _, n := range names {
			all[n] = struct{}{}
		}
		return all
	}
	health := func(command string, every time.Duration) *moby.HealthConfig {
		return &moby.HealthConfig{Test: []string{"CMD", command}, Interval: every}
	}
	for _, c := range []struct {
		name         string
		own, old, to config
		want         config
		changes      string // Field:Old>New, or Field:Old!New for what is kept
	}{
		{"what came from the image follows",
			config{User: "a", WorkingDir: "/a", StopSignal: "INT"}, config{User: "a", WorkingDir: "/a", StopSignal: "INT"},
			config{User: "b", WorkingDir: "/b"},
			config{User: "b", WorkingDir: "/b"}, "User:a>b WorkingDir:/a>/b StopSignal:INT>"},
		{"what the user set stays",
			config{User: "me", WorkingDir: "/me", StopSignal: "INT"}, config{User: "a"},
			config{User: "b", WorkingDir: "/b", StopSignal: "HUP"},
			config{User: "me", WorkingDir: "/me", StopSignal: "INT"}, "User:me!b WorkingDir:/me!/b StopSignal:INT!HUP"},
		{"what the image did not change is not told",
			config{User: "me", Env: []string{"A=me"}}, config{User: "a", Env: []string{"A=1"}}, config{User: "a", Env: []string{"A=1"}},
			config{User: "me", Env: []string{"A=me"}}, ""},
		{"a choice like the new image's is not told",
			config{User: "b"}, config{User: "a"}, config{User: "b"}, config{User: "b"}, ""},
		{"a working directory that Docker cleaned",
			config{WorkingDir: "/a"}, config{WorkingDir: "/a/"}, config{WorkingDir: "/b/"},
			config{WorkingDir: "/b/"}, "WorkingDir:/a>/b/"},
		{"command and entrypoint follow",
			config{Entrypoint: []string{"e"}, Cmd: []string{"c"}}, config{Entrypoint: []string{"e"}, Cmd: []string{"c"}},
			config{Cmd: []string{"d"}},
			config{Cmd: []string{"d"}}, `Entrypoint:["e"]> Cmd:["c"]>["d"]`},
		{"a user's command goes with the new entrypoint",
			config{Entrypoint: []string{"e"}, Cmd: []string{"mine"}}, config{Entrypoint: []string{"e"}, Cmd: []string{"c"}},
			config{Entrypoint: []string{"f"}, Cmd: []string{"d"}},
			config{Entrypoint: []string{"f"}, Cmd: []string{"mine"}}, `Entrypoint:["e"]>["f"] Cmd:["mine"]!["d"]`},
		{"a user's entrypoint does away with the image's command",
			config{Entrypoint: []string{"mine"}}, config{Cmd: []string{"c"}},
			config{Cmd: []string{"d"}},
			config{Entrypoint: []string{"mine"}}, `Cmd:!["d"]`},
		{"and keeps its own, be it the old image's",
			config{Entrypoint: []string{"mine"}, Cmd: []string{"c"}}, config{Entrypoint: []string{"e"}, Cmd: []string{"c"}},
			config{Entrypoint: []string{"f"}, Cmd: []string{"d"}},
			config{Entrypoint: []string{"mine"}, Cmd: []string{"c"}}, `Entrypoint:["mine"]!["f"] Cmd:["c"]!["d"]`},
		{"environment by name",
			config{Env: []string{"MINE=1", "PATH=/a", "BOTH=me", "OLD=1"}}, config{Env: []string{"PATH=/a", "BOTH=1", "OLD=1", "REMOVED=1"}},
			config{Env: []string{"NEW=1", "BOTH=2", "PATH=/b", "REMOVED=2"}},
			config{Env: []string{"MINE=1", "PATH=/b", "BOTH=me", "NEW=1"}},
			"Env PATH:PATH=/a>PATH=/b Env BOTH:BOTH=me!BOTH=2 Env OLD:OLD=1> Env NEW:>NEW=1 Env REMOVED:!REMOVED=2"},
		{"labels by name",
			config{Labels: map[string]string{"mine": "1", "a": "1", "both": "me", "old": "1"}},
			config{Labels: map[string]string{"a": "1", "both": "1", "old": "1"}},
			config{Labels: map[string]string{"a": "2", "both": "2", "new": "1"}},
			config{Labels: map[string]string{"mine": "1", "a": "2", "both": "me", "new": "1"}},
			"Labels a:1>2 Labels both:me!2 Labels new:>1 Labels old:1>"},
		{"ports and volumes by name",
			config{ExposedPorts: ports("1/tcp", "80/tcp"), Volumes: set("/mine", "/old")}, config{ExposedPorts: ports("80/tcp"), Volumes: set("/old")},
			config{ExposedPorts: ports("81/tcp"), Volumes: set("/new")},
			config{ExposedPorts: ports("1/tcp", "81/tcp"), Volumes: set("/mine", "/new")},
			"ExposedPorts 80/tcp:yes> ExposedPorts 81/tcp:>yes Volumes /new:>yes Volumes /old:yes>"},
		{"a health check as a whole",
			config{Healthcheck: health("a", time.Second)}, config{Healthcheck: health("a", time.Second)}, config{Healthcheck: health("b", 0)},
			config{Healthcheck: health("b", 0)}, `Healthcheck:{"Test":["CMD","a"],"Interval":1000000000}>{"Test":["CMD","b"]}`},
		{"a user's health check",
			config{Healthcheck: health("a", time.Second)}, config{Healthcheck: health("a", 0)}, config{},
			config{Healthcheck: health("a", time.Second)}, `Healthcheck:{"Test":["CMD","a"],"Interval":1000000000}!`},
		{"shell and triggers only where there are any",
			config{Shell: []string{"sh"}}, config{Shell: []string{"sh"}, OnBuild: []string{"RUN x"}}, config{Shell: []string{"bash"}, OnBuild: []string{"RUN y"}},
			config{Shell: []string{"bash"}}, `Shell:["sh"]>["bash"]`},
		{"what images do not set stays",
			config{Hostname: "h", Tty: true, Image: "a"}, config{}, config{Hostname: "x"},
			config{Hostname: "h", Tty: true, Image: "a"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := asJSON(t, c.own) + asJSON(t, c.old) + asJSON(t, c.to)
			got, changes := compat.Follow(&c.own, &c.old, &c.to, nil)
			if a, b := asJSON(t, got), asJSON(t, c.want); a != b {
				t.Errorf("the container gets %s, want %s", a, b)
			}
			told := ""
			for _, change := range changes {
				sign := ">"
				if change.Kept {
					sign = "!"
				}
				told += fmt.Sprintf(" %s:%s%s%s", change.Field, change.Old, sign, change.New)
			}
			if want := c.changes; told != "" && told[1:] != want || told == "" && want != "" {
				t.Errorf("the changes are\n%s, want\n %s", told, want)
			}
			if asJSON(t, c.own)+asJSON(t, c.old)+asJSON(t, c.to) != before {
				t.Error("an argument was changed")
			}
		})
	}
}

// A published port stays exposed, whatever the images expose.
func TestFollowKeepsPublishedPorts(t *testing.T) {
	own := config{ExposedPorts: ports("80/tcp", "443/tcp", "53/udp")}
	from := config{ExposedPorts: ports("80/tcp", "443/tcp", "53/udp")}
	for _, c := range []struct {
		to, want []string
		changes  string
	}{
		{nil, []string{"80/tcp", "443/tcp"}, "80/tcp! 443/tcp! 53/udp>"},
		{[]string{"8080/tcp", "443/tcp"}, []string{"80/tcp", "443/tcp", "8080/tcp"}, "80/tcp! 53/udp> 8080/tcp>yes"},
		{[]string{"80/tcp", "443/tcp", "53/udp"}, []string{"80/tcp", "443/tcp", "53/udp"}, ""},
	} {
		got, changes := compat.Follow(&own, &from, &config{ExposedPorts: ports(c.to...)}, ports("80/tcp", "443/tcp", "9/tcp"))
		if a, b := asJSON(t, got.ExposedPorts), asJSON(t, ports(c.want...)); a != b {
			t.Errorf("on an image that exposes %q it exposes %s, want %s", c.to, a, b)
		}
		var told []string
		for _, change := range changes {
			sign := ">"
			if change.Kept {
				sign = "!"
			}
			told = append(told, strings.TrimPrefix(change.Field, "ExposedPorts ")+sign+change.New)
		}
		want := strings.Fields(c.changes)
		slices.Sort(told)
		slices.Sort(want)
		if !slices.Equal(told, want) {
			t.Errorf("on an image that exposes %q the changes are %q, want %q", c.to, told, want)
		}
	}
}

func TestContainerConfig(t *testing.T) {
	image := imagespec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: "u", ExposedPorts: map[string]struct{}{"80/tcp": {}}, Env: []string{"A=1"}, Entrypoint: []string{"e"}, Cmd: []string{"c"},
			Volumes: map[string]struct{}{"/v": {}}, WorkingDir: "/w", Labels: map[string]string{"l": "1"}, StopSignal: "INT",
		},
		DockerOCIImageConfigExt: imagespec.DockerOCIImageConfigExt{
			Healthcheck: &moby.HealthConfig{Test: []string{"NONE"}}, OnBuild: []string{"RUN x"}, Shell: []string{"sh"},
		},
	}
	if there, want := asJSON(t, compat.ImageConfig(compat.ContainerConfig(image))), asJSON(t, image); there != want {
		t.Errorf("there and back it is %s, want %s", there, want)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
