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
// containrrr/watchtower#339 and portainer/portainer#8513.
func TestUpgradeKeepsPublishedPorts(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	for image, expose := range map[string]string{"app:1": "EXPOSE 80", "app:2": "", "app:3": "EXPOSE 8080", "app:4": "EXPOSE 80"} {
		e.BuildApp(t, image, fmt.Sprintf("%[1]s\nENV VERSION=%[2]s\nRUN mkdir -p /www && echo %[2]s > /www/index.html\nCMD [\"httpd\", \"-f\", \"-h\", \"/www\", \"-p\", \"80\"]\n", expose, image))
	}
	start(t, e, "web", "--stop-timeout=1", "-p", "18081:80", "-p", "18082:81/udp", "app:1")
	answers := func(want string) {
		t.Helper()
		harness.Eventually(t, "the published port to answer", func() error {
			out, err := e.Command(t.Context(), "curl", "-sS", "--max-time", "2", "http://127.0.0.1:18081/").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got != want {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
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
	t.Run("networks", func(t *testing.T) { upgradeKeepsNetworks(t, e) })
}
