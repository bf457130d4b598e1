package compose_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
)

// configured is a service with configs and secrets of each kind. Compose copies those by
// content and by environment into the container before it starts it, and mounts those by
// file.
const configured = `services:
  db:
    image: app:latest
    stop_grace_period: 1s
    configs:
    - {source: content, target: /etc/app/content, uid: "101", gid: "102", mode: 0440}
    - setting
    - {source: file, target: /etc/app/file}
    - {source: file, target: /etc/bound/file}
    secrets:
    - {source: token, uid: "101", mode: 0400}
    - mounted
configs:
  content: {content: mine}
  setting: {environment: SETTING}
  file: {file: ./file}
secrets:
  token: {environment: TOKEN}
  mounted: {file: ./file}
`

// startsWith is the command of an image that notes which config its program starts with.
const startsWith = `CMD ["sh", "-c", "echo $(cat /version) starts with $(cat /etc/app/content) > /seen; trap 'exit 0' TERM; while :; do sleep 0.1; done"]` + "\n"

// keptConfigs upgrades a service with configs and secrets, and rolls it back. As reported
// for nicholas-fedor/watchtower#2378 and containrrr/watchtower#1988: the updated container
// had no file of configs, and its program ran on with its defaults.
func keptConfigs(t *testing.T, e *harness.Env) {
	const folders = "RUN mkdir -p /etc/app /etc/bound && echo default | tee /etc/app/default > /etc/bound/default\n"
	e.BuildApp(t, "app:plain", folders+startsWith)
	e.BuildApp(t, "app:own", folders+"RUN echo theirs > /etc/app/content\n"+startsWith)
	e.BuildApp(t, "app:dropped", startsWith)
	e.BuildApp(t, "app:bad", "CMD [\"false\"]\n")
	tagLatest(t, e, "plain")
	p := configuredProject{project{e, "conf", t.TempDir()}, "conf-db-1"}
	harness.WriteFile(t, filepath.Join(p.dir, "file"), "bound\n")
	harness.WriteFile(t, filepath.Join(p.dir, ".env"), "SETTING=by a setting\nTOKEN=by a token\n")
	harness.WriteFile(t, filepath.Join(p.dir, "compose.yaml"), configured)
	p.compose(t, "up", "-d")
	p.note(t, p.container)
	const mine, theirs = "440 101:102 mine", "644 0:0 theirs"
	p.looks(t, "app:plain", mine)

	for _, tc := range []struct {
		name, image string
		paths       []api.PathPolicy
		content     string
		conflict    api.Conflict
	}{
		{"the image has a file of its own", "own", nil, mine,
			api.Conflict{Path: "/etc/app/content", Container: "added", Image: "added", Winner: "container"}},
		{"the image has dropped the folder", "dropped", nil, mine,
			api.Conflict{Path: "/etc/app", Container: "modified", Image: "deleted", Winner: "container"}},
		{"the image's file is asked for", "own", []api.PathPolicy{{Pattern: "/etc/app/content", Policy: "image"}}, theirs,
			api.Conflict{Path: "/etc/app/content", Container: "added", Image: "added", Winner: "image"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tagLatest(t, e, tc.image)
			plan, _ := e.Upgrade(t, p.container, api.UpgradeRequest{Paths: tc.paths, HealthTimeout: 1})
			if !reflect.DeepEqual(plan.Conflicts, []api.Conflict{tc.conflict}) || len(plan.Warnings) > 0 {
				t.Errorf("the plan has the conflicts %+v and the warnings %q", plan.Conflicts, plan.Warnings)
			}
			p.looks(t, "app:"+tc.image, tc.content)
			p.keeps(t, p.container, "up", "-d")
			tagLatest(t, e, "plain")
			e.Rollback(t, p.container, api.RollbackRequest{Revision: 1})
			p.looks(t, "app:plain", mine)
			p.keeps(t, p.container, "up", "-d")
		})
	}

	if _, result := e.Upgrade(t, p.container, api.UpgradeRequest{Image: "app:bad"}); result.RolledBack == "" {
		t.Errorf("the result is %+v", result)
	}
	p.looks(t, "app:plain", mine)
	p.keeps(t, p.container, "up", "-d")

	p.writtenAnew(t)
	p.down(t)
}

// writtenAnew lets the image win: what Compose wrote goes, and the command says so. Compose
// writes it again into a container that it starts.
func (p configuredProject) writtenAnew(t *testing.T) {
	t.Helper()
	p.compose(t, "stop")
	tagLatest(t, p.Env, "dropped")
	if out := p.Must(t, "baleen", "upgrade", "--policy", "image", p.container); !strings.Contains(out, "/etc/app/content ") {
		t.Errorf("the upgrade does not tell of /etc/app/content, but\n%s", out)
	}
	p.keeps(t, p.container, "up", "-d")
	p.looks(t, "app:dropped", "440 101:102 mine")
}

// configuredProject is a project with the service of configured.
type configuredProject struct {
	project
	container string
}

// looks waits until the container's program has started on an image, and fails unless all
// configs and secrets are there with content, mode and owner. content has those of
// /etc/app/content.
func (p configuredProject) looks(t *testing.T, image, content string) {
	t.Helper()
	want := strings.Join([]string{
		"/etc/app/content " + content,
		"/setting 444 0:0 by a setting",
		"/etc/app/file 644 0:0 bound",
		"/etc/bound/file 644 0:0 bound",
		"/run/secrets/token 400 101:0 by a token",
		"/run/secrets/mounted 644 0:0 bound",
		image + " starts with " + content[strings.LastIndexByte(content, ' ')+1:],
	}, "\n")
	harness.Eventually(t, "the program to start with its configs", func() error {
		out, err := p.Try(t, "exec", p.container, "sh", "-c", `for f in /etc/app/content /setting /etc/app/file /etc/bound/file /run/secrets/token /run/secrets/mounted; do
			echo "$(stat -c '%n %a %u:%g' $f) $(cat $f)"; done; cat /seen`)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return harness.Expect(out, want)
	})
}
