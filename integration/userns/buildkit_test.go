package userns_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// usernsDockerfiles have what a mapping of ids could get wrong: first without
// commands, and then with them.
var usernsDockerfiles = map[string]string{
	"copies": `FROM busybox AS maker
COPY --chown=5:6 file /made/owned
FROM busybox
COPY file /plain
COPY --chown=5:6 file /dir/owned
COPY --from=maker /made /made
`,
	"commands": `FROM busybox AS maker
COPY --chown=5:6 file /made/owned
RUN cp /bin/busybox /made/setuid && chown 7:8 /made/setuid && chmod 6755 /made/setuid && ln /made/setuid /made/twin && ln -s owned /made/link && chown -h 9:10 /made/link
FROM busybox
COPY file /plain
COPY --chown=5:6 file /dir/owned
COPY --from=maker /made /made
RUN echo x >> /plain && mkdir /mine && chown 7:8 /mine && chmod 1733 /mine && rm /bin/vi
USER 7:8
RUN id -u > /mine/who && ! touch /root-only 2>/dev/null && mkdir /mine/deep && echo y > /mine/deep/y
USER 0
RUN cat /made/owned > /dev/null && stat -c '%n %a %u:%g' /mine/who
`,
}

const (
	usernsCopied    = `stat -c '%n %a %u:%g' /plain /dir/owned /made /made/owned /bin/sh; cat /proc/self/uid_map`
	usernsCommanded = usernsCopied + `; stat -c '%n %a %u:%g' /made/setuid /made/link /mine /mine/who /mine/deep /mine/deep/y
test /made/setuid -ef /made/twin && cat /mine/who; ls /bin/vi 2>&1 || :`
	usernsCopiedWant = `/plain 644 0:0
/dir/owned 644 5:6
/made 755 MADE
/made/owned 644 5:6
/bin/sh 755 0:0
         0     100000      65536`
	usernsCommandedWant = usernsCopiedWant + `
/made/setuid 6755 7:8
/made/link 777 9:10
/mine 1733 7:8
/mine/who 644 7:8
/mine/deep 755 7:8
/mine/deep/y 644 7:8
7
ls: /bin/vi: No such file or directory`
	// stockCannot is what a command of a BuildKit build ends with under
	// --userns-remap, in stock Moby just so: its executor gives the command a user
	// namespace, and the containerd worker's snapshots have the image's ids.
	stockCannot = "create mountpoint for /etc/resolv.conf mount: make mountpoint"
)

// TestUserNamespacesBuildKit builds with BuildKit, and with the classic builder,
// where ids are mapped (dockerd --userns-remap), runs what came of it, and commits
// that. Both make the same of a Dockerfile, with mapping and without.
func TestUserNamespacesBuildKit(t *testing.T) {
	harness.NeedBuildx(t)
	for name, config := range map[string]stack.Config{
		"mounted":    harness.UsernsConfig("", map[string]any{"bridge": "none"}),
		"copied":     harness.UsernsConfig("copy", map[string]any{"bridge": "none"}),
		"not mapped": {DaemonConfig: map[string]any{"bridge": "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, config, "busybox")
			for builder, build := range map[string]buildFunc{"classic": e.Build, "buildkit": e.BuildWithBuildKit} {
				t.Run(builder+"/copies", func(t *testing.T) {
					usernsBuilt(t, e, build, "copies", builder, usernsCopied, usernsCopiedWant)
				})
				t.Run(builder+"/commands", func(t *testing.T) {
					usernsBuilt(t, e, build, "commands", builder, usernsCommanded, usernsCommandedWant)
				})
			}
		})
	}
}

type buildFunc func(t *testing.T, dockerfile string, args ...string) (string, error)

func usernsBuilt(t *testing.T, e *harness.Env, build buildFunc, dockerfile, builder, look, want string) {
	t.Helper()
	mapped := strings.Contains(e.Must(t, "info", "-f", "{{.SecurityOptions}}"), "name=userns")
	name := builder + "-" + dockerfile
	out, err := build(t, usernsDockerfiles[dockerfile], "--network=none", "-t", name)
	if err != nil && mapped && strings.Contains(out, stockCannot) {
		t.Skip("no command of a BuildKit build runs with mapped ids, nor does it on stock Moby:", stockCannot)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !mapped {
		want = strings.Replace(want, "    100000      65536", "         0 4294967295", 1)
	}
	// The directories that COPY makes belong to whom the builder says.
	got := e.Must(t, "run", "--rm", "--network=none", name, "sh", "-c", look)
	if got = madeOwner.ReplaceAllString(got, "/made 755 MADE"); got != want {
		t.Errorf("the image has\n%s\nwant\n%s", got, want)
	}
	id := e.Run(t, name, "echo more >> /plain; chown 11:12 /plain; chown 13 /made/owned", "--network=none")
	committed := e.Must(t, "commit", id)
	if got := e.Must(t, "run", "--rm", "--network=none", committed, "stat", "-c", "%u:%g %a", "/plain", "/made/owned", "/dir/owned"); got != "11:12 644\n13:6 644\n5:6 644" {
		t.Errorf("the committed image has\n%s", got)
	}
	ownersIn(t, e, committed, map[string]string{"plain": "11:12", "made/owned": "13:6"})
}

var madeOwner = regexp.MustCompile(`/made 755 (0:0|5:6)`)
