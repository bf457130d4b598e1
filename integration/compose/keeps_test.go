package compose_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

const single = "services:\n  db: {image: app:latest, stop_grace_period: 1s}\n"

// TestComposeKeepsContainers runs Compose on containers that were upgraded and rolled back,
// where the name of the service's image has moved and where it has not.
func TestComposeKeepsContainers(t *testing.T) {
	harness.NeedCompose(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApp(t, "app:1", "LABEL com.docker.compose.service=foreign\n")
	e.BuildApp(t, "app:2", "")
	for name, test := range map[string]func(*testing.T, *harness.Env){
		"upgrade to the moved tag, and back": keptOnMovedTag,
		"upgrade to another name, and back":  keptOnAnotherName,
		"upgrade that is taken back":         keptAfterFailure,
		"up --build":                         keptAfterBuild,
		"pull":                               keptAfterPull,
		"configs and secrets":                keptConfigs,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// tagLatest gives the name app:latest to a version.
func tagLatest(t *testing.T, e *harness.Env, version string) {
	t.Helper()
	e.Must(t, "tag", "app:"+version, "app:latest")
}

// upgraded upgrades a container of version 1 to what the name of its image means by now,
// version 2, without a warning.
func (p project) upgraded(t *testing.T, container string) {
	t.Helper()
	if plan, _ := p.Upgrade(t, container, api.UpgradeRequest{HealthTimeout: 1}); len(plan.Warnings) != 0 {
		t.Errorf("the plan warns: %q", plan.Warnings)
	}
	p.MustRead(t, container, "/version", "app:2")
}

// keptOnMovedTag upgrades to what the name of the image means by now, as reported for
// Finsys/dockhand#204: "docker compose up" recreated what was updated, and the service's
// name was no alias of the container any more. Then it goes back. containrrr/watchtower#1989
// and #339: the next "docker compose up -d" after each update made the container anew.
func keptOnMovedTag(t *testing.T, e *harness.Env) {
	tagLatest(t, e, "1")
	p := start(t, e, "moved", single)
	p.note(t, "moved-db-1")
	tagLatest(t, e, "2")
	p.upgraded(t, "moved-db-1")
	if got, want := e.Inspect(t, "moved-db-1", labelImage), e.Inspect(t, "app:2", "{{.Id}}"); got != want {
		t.Errorf("the label of Compose has %s, and the image is %s", got, want)
	}
	p.keeps(t, "moved-db-1", "up", "-d")
	p.keeps(t, "moved-db-1", "restart")
	p.keeps(t, "moved-db-1", "up", "-d", "--scale", "db=2")
	p.keeps(t, "moved-db-1", "up", "-d", "--scale", "db=1")
	p.keeps(t, "moved-db-1", "up", "-d", "--pull=never")
	if got := e.Must(t, "exec", "moved-db-1", "nslookup", "db"); !strings.Contains(got, "Name:\tdb") {
		t.Errorf("the service has no alias: %s", got)
	}

	// Back, and the tag still names the newer image.
	plan, _ := e.Rollback(t, "moved-db-1", api.RollbackRequest{})
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "docker tag ") || !strings.Contains(plan.Warnings[0], " app:latest, or docker compose up --no-recreate") {
		t.Fatalf("the plan of the rollback warns: %q", plan.Warnings)
	}
	p.keeps(t, "moved-db-1", "up", "-d", "--no-recreate")
	_, hint, _ := strings.Cut(plan.Warnings[0], "To keep the container: docker ")
	hint, _, _ = strings.Cut(hint, ", or")
	e.Must(t, strings.Fields(hint)...)
	p.keeps(t, "moved-db-1", "up", "-d")
	p.down(t)
}

// keptOnAnotherName upgrades to an image that the compose file does not name, and goes back.
func keptOnAnotherName(t *testing.T, e *harness.Env) {
	tagLatest(t, e, "1")
	p := start(t, e, "other", single)
	p.note(t, "other-db-1")
	plan, _ := e.Upgrade(t, "other-db-1", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "docker compose up would replace the container") {
		t.Fatalf("the plan warns: %q", plan.Warnings)
	}
	p.keeps(t, "other-db-1", "up", "-d", "--no-recreate")
	p.keeps(t, "other-db-1", "restart")
	tagLatest(t, e, "2")
	p.keeps(t, "other-db-1", "up", "-d")
	tagLatest(t, e, "1")
	if plan, _ = e.Rollback(t, "other-db-1", api.RollbackRequest{}); len(plan.Warnings) != 0 {
		t.Errorf("the plan of the rollback warns: %q", plan.Warnings)
	}
	p.keeps(t, "other-db-1", "up", "-d")
	p.down(t)
}

// keptAfterFailure upgrades to an image that does not run, which is taken back.
func keptAfterFailure(t *testing.T, e *harness.Env) {
	e.BuildApp(t, "app:bad", "CMD [\"false\"]\n")
	tagLatest(t, e, "1")
	p := start(t, e, "bad", single)
	p.note(t, "bad-db-1")
	if _, result := e.Upgrade(t, "bad-db-1", api.UpgradeRequest{Image: "app:bad"}); result.RolledBack == "" {
		t.Errorf("the result is %+v", result)
	}
	p.keeps(t, "bad-db-1", "up", "-d")
	p.down(t)
}

// keptAfterBuild upgrades to what Compose has built.
func keptAfterBuild(t *testing.T, e *harness.Env) {
	harness.NeedBuildx(t)
	p := project{e, "built", t.TempDir()}
	write := func(version string) {
		harness.WriteFile(t, filepath.Join(p.dir, "Dockerfile"), "FROM app:"+version+"\nRUN echo built > /built\n")
	}
	harness.WriteFile(t, filepath.Join(p.dir, "compose.yaml"), "services:\n  db: {build: ., stop_grace_period: 1s}\n")
	write("1")
	p.compose(t, "up", "-d", "--build")
	p.note(t, "built-db-1")
	// BuildKit leaves the image that has lost its name to be collected.
	e.Must(t, "tag", "built-db", "built-db:before")
	write("2")
	p.compose(t, "build")
	// No registry has what Compose built.
	out := e.Must(t, "baleen", "upgrade", "--pull", "--compose-project", "built", "--health-timeout", "1s")
	if !strings.Contains(out, "built-db-1: Compose built the image built-db,") || strings.Contains(out, "docker compose up") {
		t.Errorf("the upgrade prints\n%s", out)
	}
	e.MustRead(t, "built-db-1", "/version", "app:2")
	p.keeps(t, "built-db-1", "up", "-d")
	p.keeps(t, "built-db-1", "up", "-d", "--build")
	p.down(t)
}

// keptAfterPull upgrades to what Compose has pulled.
func keptAfterPull(t *testing.T, e *harness.Env) {
	e.WithRegistry(t, t.TempDir())
	const name = harness.RegistryAddress + "/app"
	push := func(version string) {
		e.Must(t, "tag", "app:"+version, name)
		e.Push(t, name)
	}
	push("1")
	p := start(t, e, "pulled", "services:\n  db: {image: "+name+", stop_grace_period: 1s}\n")
	p.note(t, "pulled-db-1")
	push("2")
	e.Must(t, "rmi", "-f", name)
	p.compose(t, "pull")
	p.upgraded(t, "pulled-db-1")
	p.keeps(t, "pulled-db-1", "up", "-d")
	p.keeps(t, "pulled-db-1", "up", "-d", "--pull=always")
	p.down(t)
}
