package revisions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUpgradeFollowsProgram: a container whose tag was moved to an image that starts
// another program runs that program after an upgrade, and the old one after a rollback. A
// command or an entrypoint that its user chose stays. As reported:
//   - Finsys/dockhand#1371: the old image's command, whose script the new image has
//     dropped, stays, and the container restarts for ever.
//   - portainer/portainer#8513: after a pull the container is made with the old image's
//     entrypoint.
//   - Finsys/dockhand#1135: a port that the user has set gives way to the image's.
func TestUpgradeFollowsProgram(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	const script = `RUN printf '#!/bin/sh\ntrap "exit 0" TERM\necho $0 $* on $HTTP_PORTS\nwhile :; do sleep 0.1; done\n' > /own && chmod +x /own && `
	e.BuildApp(t, "from:1", script+"cp /own /start-old\nENV HTTP_PORTS=8080\nCMD [\"/bin/sh\", \"-c\", \"exec /start-old\"]\n")
	e.BuildApp(t, "from:2", script+"cp /own /start-new\nENV HTTP_PORTS=9090\nENTRYPOINT [\"/start-new\"]\nCMD [\"serve\"]\n")
	for _, row := range []program{
		{name: "of the image", flags: []string{"--restart", "always"}, first: "/start-old on 8080", then: "/start-new serve on 9090"},
		{
			name: "by an own command", flags: []string{"-e", "HTTP_PORTS=80"}, args: []string{"/own", "x"},
			first: "/own x on 80", then: "/start-new /own x on 80", kept: []string{"Cmd", "Env HTTP_PORTS"},
		},
		{
			name: "by an own entrypoint", flags: []string{"--entrypoint", "/own", "--restart", "always"}, args: []string{"x"},
			first: "/own x on 8080", then: "/own x on 9090", kept: []string{"Cmd", "Entrypoint"},
		},
		{
			name: "by an own entrypoint without a command", flags: []string{"--entrypoint", "/own"},
			first: "/own on 8080", then: "/own on 9090", kept: []string{"Cmd", "Entrypoint"},
		},
	} {
		t.Run(row.name, func(t *testing.T) { row.isFollowed(t, e) })
	}
}

// program is a container of from:1 that moves to from:2.
type program struct {
	name        string
	flags, args []string // of docker run
	first, then string   // what it prints on each image
	kept        []string // fields that the plan says the user has set
}

func (p program) isFollowed(t *testing.T, e *harness.Env) {
	e.Must(t, "tag", "from:1", "app")
	start(t, e, "web", slices.Concat(p.flags, []string{"app"}, p.args)...)
	p.runs(t, e, "from:1", p.first)

	e.Must(t, "tag", "from:2", "app")
	var kept []string
	for line := range strings.Lines(e.Must(t, "baleen", "upgrade", "--dry-run", "web")) {
		if before, _, ok := strings.Cut(line, " stays, as you set it"); ok {
			field, _, _ := strings.Cut(strings.TrimSpace(before), "  ")
			kept = append(kept, field)
		}
	}
	slices.Sort(kept)
	if !slices.Equal(kept, p.kept) {
		t.Errorf("the plan says that the user has set %q, want %q", kept, p.kept)
	}
	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "web")
	p.runs(t, e, "from:2", p.then)
	e.Must(t, "baleen", "rollback", "web")
	p.runs(t, e, "from:1", p.first)
	e.Must(t, "rm", "-f", "web")
}

// runs checks what the container prints, that it was not restarted, and that its command
// is that of a new container of the image.
func (p program) runs(t *testing.T, e *harness.Env, image, prints string) {
	t.Helper()
	harness.Eventually(t, "the program to start", func() error {
		logs := e.Must(t, "logs", "web")
		return harness.Expect(logs[strings.LastIndexByte(logs, '\n')+1:], prints)
	})
	if state := e.Inspect(t, "web", "{{.State.Status}} {{.RestartCount}}"); state != "running 0" {
		t.Errorf("on %s it is %s", image, state)
	}
	fresh := e.Must(t, slices.Concat([]string{"create"}, p.flags, []string{image}, p.args)...)
	defer e.Remove(t, fresh)
	const format = "{{.Path}} {{json .Args}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}"
	if got, want := e.Inspect(t, "web", format), e.Inspect(t, fresh, format); got != want {
		t.Errorf("on %s it is to run %s, want %s", image, got, want)
	}
}
