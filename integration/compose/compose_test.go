package compose_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

const labelImage = `{{index .Config.Labels "com.docker.compose.image"}}`

// project is a project of Compose in a stack.
type project struct {
	*harness.Env
	name, dir string
}

// start writes a compose file and brings its services up.
func start(t *testing.T, e *harness.Env, name, file string) project {
	t.Helper()
	p := project{e, name, t.TempDir()}
	harness.WriteFile(t, filepath.Join(p.dir, "compose.yaml"), file)
	p.compose(t, "up", "-d")
	return p
}

// compose runs docker compose for the project, and returns what it prints.
func (p project) compose(t *testing.T, args ...string) string {
	t.Helper()
	cmd := p.Docker(t.Context(), append([]string{"compose", "--ansi=never", "--progress=plain", "-p", p.name, "-f", filepath.Join(p.dir, "compose.yaml")}, args...)...)
	// An attestation tells the time of the build: each build would have a digest of its own.
	cmd.Env = append(cmd.Env, "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	out, err := harness.Output(cmd)
	if err != nil {
		t.Fatalf("docker compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// down removes the project.
func (p project) down(t *testing.T) {
	t.Helper()
	p.compose(t, "down", "-v")
	if left := p.Must(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name); left != "" {
		t.Errorf("docker compose down has left %s", left)
	}
}

func (p project) id(t *testing.T, container string) string {
	t.Helper()
	return p.Inspect(t, container, "{{.Id}}")
}

// keeps runs docker compose and expects that a container stays, with its note and its
// revisions, and runs.
func (p project) keeps(t *testing.T, container string, args ...string) {
	t.Helper()
	id, revisions := p.id(t, container), len(p.Revisions(t, container))
	out := p.compose(t, args...)
	if got := p.Inspect(t, container, "{{.Id}} {{.State.Running}}"); got != id+" true" {
		t.Fatalf("docker compose %s made container %s of %s:\n%s", strings.Join(args, " "), got, id, out)
	}
	p.MustRead(t, container, "/note", "kept")
	if got := len(p.Revisions(t, container)); got != revisions {
		t.Errorf("docker compose %s: %d revisions, not %d", strings.Join(args, " "), got, revisions)
	}
}

// note has a container write a file.
func (p project) note(t *testing.T, container string) {
	t.Helper()
	p.Must(t, "exec", container, "sh", "-c", "echo kept > /note")
}

const chain = `services:
  web: {image: "web:latest", stop_grace_period: 1s, depends_on: [cache]}
  cache: {image: "app:1", stop_grace_period: 1s, depends_on: [db]}
  db: {image: "db:latest", stop_grace_period: 1s}
`

// TestUpgradeProject upgrades a project by the command, whole or not at all.
func TestUpgradeProject(t *testing.T) {
	harness.NeedCompose(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	e.BuildApp(t, "app:bad", "CMD [\"false\"]\n")
	e.Must(t, "tag", "app:1", "db:latest")
	e.Must(t, "tag", "app:1", "web:latest")
	p := start(t, e, "shop", chain)
	for _, c := range []string{"shop-db-1", "shop-cache-1", "shop-web-1"} {
		p.note(t, c)
	}
	versions := func(db, web string) {
		t.Helper()
		e.MustRead(t, "shop-db-1", "/version", "app:"+db)
		e.MustRead(t, "shop-cache-1", "/version", "app:1")
		e.MustRead(t, "shop-web-1", "/version", "app:"+web)
	}

	e.Must(t, "tag", "app:2", "db:latest")
	e.Must(t, "tag", "app:bad", "web:latest")
	out, err := e.Try(t, "baleen", "upgrade", "--compose-project", "shop", "--health-timeout", "1s")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(out, "shop-web-1 did not come up") || !strings.Contains(out, "Taken back as well: shop-db-1.") {
		t.Fatalf("the upgrade ends with %v:\n%s", err, out)
	}
	versions("1", "1")

	e.Must(t, "tag", "app:2", "web:latest")
	out = e.Must(t, "baleen", "upgrade", "--compose-project", "shop", "--health-timeout", "1s")
	db, web := strings.Index(out, "shop-db-1 is on revision"), strings.Index(out, "shop-web-1 is on revision")
	if db < 0 || web < db || !strings.Contains(out, "shop-cache-1 stands on its image's newest version already") {
		t.Errorf("the upgrade prints\n%s", out)
	}
	versions("2", "2")
	for _, c := range []string{"shop-db-1", "shop-cache-1", "shop-web-1"} {
		p.keeps(t, c, "up", "-d")
	}

	// To another name and then back to what the compose file names.
	e.Upgrade(t, "shop-db-1", api.UpgradeRequest{Image: "app:1", HealthTimeout: 1})
	versions("1", "2")
	e.Must(t, "baleen", "upgrade", "--compose-project", "shop", "--health-timeout", "1s", "db", "web")
	versions("2", "2")
	p.keeps(t, "shop-db-1", "up", "-d")
	p.down(t)
}
