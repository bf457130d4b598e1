package revisions_test

import (
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// otherUnit is how a user is made, in place of ID, that owns a folder of the image and two
// volumes.
const otherUnit = `RUN echo unit:x:ID:ID::/:/bin/sh >> /etc/passwd && echo unit:x:ID: >> /etc/group && mkdir -p /data /state /cache && chown ID:ID /data /state /cache
USER unit
VOLUME /cache
`

// testUserWithAnotherID upgrades a container to an image in which its user has another id:
// the plan warns of files that stay with the old one, in the container and on volumes, and
// an upgrade that fails for it is taken back and leaves volumes alone.
// nginx/unit#893: the id went from 101 to 999, and the new program could not read what was
// on a volume.
func testUserWithAnotherID(t *testing.T, e *harness.Env) {
	e.BuildApp(t, "unit:1", strings.ReplaceAll(otherUnit, "ID", "101"))
	e.BuildApp(t, "unit:2", strings.ReplaceAll(otherUnit, "ID", "999"))
	e.BuildApp(t, "unit:checked", strings.ReplaceAll(otherUnit, "ID", "999")+"HEALTHCHECK --interval=100ms --retries=2 CMD touch /data/mine /state/mine /cache/mine\n")
	start(t, e, "unit", "--stop-timeout=1", "-v", "state:/state", "unit:1")
	e.Must(t, "exec", "unit", "sh", "-c", "umask 077; for d in data state cache; do echo $d > /$d/mine; done")
	e.Must(t, "exec", "-u", "root", "unit", "sh", "-c", "echo own:x:1000:1000::/:/bin/sh >> /etc/passwd")
	const look = "id -u; stat -c '%n %u:%g %a' /data /data/mine /state /state/mine /cache /cache/mine; cat /data/mine /state/mine /cache/mine"
	before := e.Must(t, "exec", "unit", "sh", "-c", look)

	const isOther = "of the id 101, which is the user unit now; in the new image unit has the id 999: "
	warnings := []string{
		"WARNING: 1 path stays with" + strings.TrimPrefix(isOther, "of") + "/data/mine for one",
		"WARNING: the volume at /state keeps files " + isOther + "/state/mine for one",
		"WARNING: the volume at /cache keeps files " + isOther + "/cache/mine for one",
		"WARNING: the volume at /cache keeps files " + strings.Replace(isOther, "user", "group", 1) + "/cache/mine for one",
	}
	expect := func(what, out string) {
		t.Helper()
		for _, want := range warnings {
			if !strings.Contains(out, want) {
				t.Errorf("%s prints\n%s\nwithout\n%s", what, out, want)
			}
		}
	}
	expect("the plan", e.Must(t, "baleen", "upgrade", "--dry-run", "unit", "unit:2"))
	out, err := e.Try(t, "baleen", "upgrade", "--health-timeout", "10s", "unit", "unit:checked")
	if err == nil || !strings.Contains(out, "Permission denied") || !strings.Contains(out, "is again as it was before") {
		t.Errorf("an upgrade whose check may not write gave %v\n%s", err, out)
	}
	expect("the upgrade", out)
	if got := e.Must(t, "exec", "unit", "sh", "-c", look); got != before {
		t.Errorf("after the upgrade that was taken back it has\n%s\nand had\n%s", got, before)
	}

	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "unit", "unit:2")
	if got := e.Must(t, "exec", "unit", "sh", "-c", "id -u; grep -c ^own:x:1000: /etc/passwd; cat /state/mine 2>&1 || true"); got != "999\n1\ncat: can't open '/state/mine': Permission denied" {
		t.Errorf("on the new image it prints\n%s", got)
	}
	// What docs/upgrade.md advises.
	e.Must(t, "exec", "-u", "root", "unit", "chown", "-R", "unit:unit", "/data", "/state", "/cache")
	e.Must(t, "baleen", "upgrade", "--health-timeout", "10s", "unit", "unit:checked")
	if out := e.Must(t, "baleen", "upgrade", "--dry-run", "unit", "unit:2"); strings.Contains(out, "which is the user") {
		t.Errorf("between images with the same ids the plan is\n%s", out)
	}

	// A user that the container was created with stays, and so does its access.
	start(t, e, "pinned", "--stop-timeout=1", "--user", "101:101", "-v", "pinned:/state", "unit:1")
	e.Must(t, "exec", "pinned", "sh", "-c", "umask 077; echo state > /state/mine")
	plan := e.Must(t, "baleen", "upgrade", "--dry-run", "pinned", "unit:2")
	if !strings.Contains(plan, warnings[1]) || strings.Contains(plan, "stays with the id") {
		t.Errorf("with files on a volume alone the plan is\n%s", plan)
	}
	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "pinned", "unit:2")
	if got := e.Must(t, "exec", "pinned", "sh", "-c", "id -u; cat /state/mine"); got != "101\nstate" {
		t.Errorf("with a user of its own it prints\n%s", got)
	}
}
