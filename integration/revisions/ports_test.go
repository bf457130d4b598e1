package revisions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUpgradeKeepsPublishedPorts asks a published port for an answer after upgrades to
// images that expose it, another one, or none, and after a rollback. As reported for
// containrrr/watchtower#945: a port that was published and that the image does not expose
// made the update crash, after it had removed the container.
func TestUpgradeKeepsPublishedPorts(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	for image, expose := range map[string]string{"app:1": "EXPOSE 80", "app:2": "", "app:3": "EXPOSE 8080", "app:4": "EXPOSE 80"} {
		e.BuildApp(t, image, fmt.Sprintf("%[1]s\nENV VERSION=%[2]s\nRUN mkdir -p /www && echo %[2]s > /www/index.html\nCMD [\"httpd\", \"-f\", \"-h\", \"/www\", \"-p\", \"80\"]\n", expose, image))
	}
	start(t, e, "web", "--stop-timeout=1", "-p", "18081:80", "-p", "18082:81/udp", "app:1")
	answers := func(want string) {
		t.Helper()
		answersAt(t, e, "18081", want)
		if got := e.Must(t, "port", "web"); !strings.Contains(got, "80/tcp -> 0.0.0.0:18081") || !strings.Contains(got, "81/udp -> 0.0.0.0:18082") {
			t.Errorf("docker port says\n%s", got)
		}
	}
	answers("app:1")
	for _, image := range []string{"app:2", "app:3", "app:4"} {
		var want []string // what the plan says of ports
		switch image {
		case "app:2":
			want = []string{"80/tcp stays"}
		case "app:3":
			want = []string{"8080/tcp comes"}
		case "app:4":
			want = []string{"8080/tcp goes"}
		}
		plan, _ := e.Upgrade(t, "web", api.UpgradeRequest{Image: image, HealthTimeout: 1})
		answers(image)
		var told []string
		for _, c := range plan.Config {
			if port, ok := strings.CutPrefix(c.Field, "ExposedPorts "); ok {
				what := "goes"
				if c.Kept {
					what = "stays"
				} else if c.New != "" {
					what = "comes"
				}
				told = append(told, port+" "+what)
			}
		}
		if !slices.Equal(told, want) {
			t.Errorf("the plan for %s says of ports %q, want %q", image, told, want)
		}
	}
	e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
	answers("app:1")
	t.Run("ports that Docker chooses", func(t *testing.T) { upgradePublishesChosenPorts(t, e) })
	t.Run("networks", func(t *testing.T) { upgradeKeepsNetworks(t, e) })
}

// answersAt waits until a port of the host answers with a text.
func answersAt(t *testing.T, e *harness.Env, port, want string) {
	t.Helper()
	harness.Eventually(t, "the published port "+port+" to answer", func() error {
		out, err := harness.Output(e.Command(t.Context(), "curl", "-sS", "--max-time", "2", "http://127.0.0.1:"+port+"/"))
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return harness.Expect(out, want)
	})
}

// upgradePublishesChosenPorts: a port of the host that Docker chose is published again, and
// what the container asked for stays as it was. As reported for containrrr/watchtower#690:
// the updated container had another port. Docker chooses anew at each start, also at a
// docker restart, so that the number may change here, too.
func upgradePublishesChosenPorts(t *testing.T, e *harness.Env) {
	start(t, e, "one", "--stop-timeout=1", "-p", "80", "app:1")
	start(t, e, "all", "--stop-timeout=1", "-P", "app:1")
	const asked = "{{json .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}}"
	check := func(name, was, want, image string) {
		t.Helper()
		var ports []string
		for line := range strings.Lines(e.Must(t, "port", name)) {
			inside, outside, _ := strings.Cut(strings.TrimSpace(line), " -> ")
			if host, ok := strings.CutPrefix(outside, "0.0.0.0:"); ok {
				ports = append(ports, inside)
				if inside == "80/tcp" {
					answersAt(t, e, host, image)
				}
			}
		}
		if got := strings.Join(ports, " "); got != want {
			t.Errorf("on %s the ports %q of %s are published, want %q", image, got, name, want)
		}
		if is := e.Inspect(t, name, asked); is != was {
			t.Errorf("on %s container %s asks for the ports %s, and asked for %s", image, name, is, was)
		}
	}
	for _, tc := range []struct{ name, exposed string }{{"one", "80/tcp"}, {"all", "8080/tcp"}} {
		was := e.Inspect(t, tc.name, asked)
		check(tc.name, was, "80/tcp", "app:1")
		e.Upgrade(t, tc.name, api.UpgradeRequest{Image: "app:3", HealthTimeout: 1})
		check(tc.name, was, tc.exposed, "app:3")
		e.Rollback(t, tc.name, api.RollbackRequest{})
		check(tc.name, was, "80/tcp", "app:1")
	}
}
