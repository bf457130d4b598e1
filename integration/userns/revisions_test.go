package userns_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUserNamespaceRevisions keeps, upgrades and rolls back containers whose ids
// are mapped.
func TestUserNamespaceRevisions(t *testing.T) {
	for name, config := range map[string]stack.Config{
		"mounted": harness.UsernsConfig("mount", nil), "copied": harness.UsernsConfig("copy", nil),
	} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, config, "busybox")
			for version, file := range map[string]string{"1": `FROM busybox
RUN mkdir /app && echo 1 > /app/version && echo c > /app/conf && echo h > /app/a && ln /app/a /app/b && chown -R 5:6 /app
`, "2": `FROM busybox
RUN mkdir /app && echo 2 > /app/version && echo c > /app/conf && chown -R 5:6 /app
`} {
				if out, err := e.Build(t, file, "-t", "app:"+version); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			usernsMoves(t, e)
		})
	}
}

// usernsMoved looks at all that the container of usernsMoves has.
const usernsMoved = `cd /app; stat -c '%n %a %u:%g' . * | grep -v '^b '; test suid -ef suid2 && echo linked; cat version conf; ls -d /lib/x 2>/dev/null; stat -c '%a %u:%g' / /bin/sh`

func usernsMoves(t *testing.T, e *harness.Env) {
	id := e.Run(t, "app:1", "true")
	e.Must(t, "exec", id, "sh", "-c", `cd /app; chown 9:9 conf; echo mine >> conf; chmod 711 /; echo s > suid; chown 7:8 suid; chmod 4755 suid; ln suid suid2; rm a; mkdir -p /lib/x`)
	look := func() string { t.Helper(); return e.Must(t, "exec", id, "sh", "-c", usernsMoved) }
	must := func(when, version string) {
		t.Helper()
		want := ". 755 5:6\nconf 644 9:9\nsuid 4755 7:8\nsuid2 4755 7:8\nversion 644 5:6\nlinked\n" + version + "\nc\nmine\n/lib/x\n711 0:0\n755 0:0"
		if got := look(); got != want {
			t.Errorf("%s\n%s\nwant\n%s", when, got, want)
		}
	}
	must("at first", "1")
	e.Must(t, "baleen", "snapshot", "-q", id) // 1, of a running container
	must("kept while it runs", "1")
	e.Must(t, "stop", "-t", "1", id)
	e.Must(t, "baleen", "snapshot", "-q", id) // 2, of a stopped one
	e.Must(t, "start", id)
	must("kept while it is stopped", "1")

	e.Must(t, "exec", id, "sh", "-c", "echo lost > /app/conf; rm -r /lib/x /app/suid; chown 0:0 /app")
	e.Must(t, "baleen", "rollback", "-q", id, "1")
	must("rolled back to 1", "1")
	e.Must(t, "exec", id, "sh", "-c", "echo lost > /app/conf; chmod 700 /")
	e.Must(t, "baleen", "rollback", "-q", id, "2")
	must("rolled back to 2", "1")
	if got := e.Must(t, "diff", id); !strings.Contains(got, "D /app/a") || strings.Contains(got, "/bin") {
		t.Errorf("docker diff prints\n%s", got)
	}

	e.Must(t, "baleen", "upgrade", "-q", "--health-timeout", "1s", id, "app:2")
	must("upgraded", "2")
	e.Must(t, "exec", id, "sh", "-c", "echo more > /app/more; chown 3:4 /app/more")
	e.Must(t, "restart", "-t", "1", id)
	image := e.Must(t, "commit", id)
	const more = "; stat -c '%n %a %u:%g %h' more; rm more"
	want := e.Must(t, "exec", id, "sh", "-c", usernsMoved+more)
	if got := e.Must(t, "run", "--rm", image, "sh", "-c", usernsMoved+more); got != strings.Replace(want, "711 0:0", "755 0:0", 1) { // a new root has a mode of its own
		t.Errorf("in an image of it\n%s\nwant\n%s", got, want)
	}
	e.Must(t, "baleen", "rollback", "-q", "--carry", id, "2")
	must("rolled back with what was written since", "1")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	must("after a restart of the daemon", "1")
}
