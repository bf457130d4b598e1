package revisions_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUntouchedFilesLookAlike: programs see the same of files that nobody changed after
// every move: number of names, owner, mode, size, times, and which names are one file.
// The image's program prints it as it starts.
func TestUntouchedFilesLookAlike(t *testing.T) {
	const files = "/spool/crontabs/root /spool/mail/user /spool/large /spool/twin /spool/d/other /spool /spool/d /spool/link /etc/passwd"
	const look = `stat -c '%n %h %a %u:%g %s %y' ` + files + `; [ /spool/twin -ef /spool/d/other ] && echo one file`
	for name, config := range map[string]stack.Config{"plain": {}, "mapped by mounting": harness.UsernsConfig("mount", nil), "mapped copy": harness.UsernsConfig("copy", nil)} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, config, "busybox")
			for n, ends := range map[int]string{1: "true", 2: "true", 3: "exit 1"} {
				e.BuildApp(t, fmt.Sprintf("app:%d", n), fmt.Sprintf("CMD [\"sh\", \"-c\", \"%s; %s; exec sleep 1000\"]\n", strings.ReplaceAll(look, `"`, `\"`), ends))
			}
			start(t, e, "web", "--stop-timeout=1", "app:1")
			e.Must(t, "exec", "web", "sh", "-ec", `mkdir -p /spool/crontabs /spool/mail /spool/d; echo '* * * * * true' > /spool/crontabs/root; chmod 600 /spool/crontabs/root
echo From > /spool/mail/user; chown 1000:8 /spool/mail/user; dd if=/dev/urandom of=/spool/large bs=1M count=2 2>/dev/null
echo one > /spool/twin; ln /spool/twin /spool/d/other; ln -s large /spool/link; echo x:x:9:9::/: >> /etc/passwd`)
			want := e.Must(t, "exec", "web", "sh", "-c", look)
			if !strings.Contains(want, "/spool/crontabs/root 1 600 0:0") || !strings.Contains(want, "one file") {
				t.Fatalf("the container has\n%s", want)
			}
			same := func(when string) {
				t.Helper()
				if got := e.Must(t, "exec", "web", "sh", "-c", look); got != want {
					t.Errorf("after %s the container has\n%s\nand had\n%s", when, got, want)
				}
			}
			e.Snapshot(t, "web", "running")
			same("a snapshot")
			e.Snapshot(t, "web", "running on")
			same("another snapshot")
			e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
			same("an upgrade")
			if _, r := e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:3", HealthTimeout: 1}); r.RolledBack == "" {
				t.Error("app:3 came up")
			}
			same("an upgrade that was taken back")
			e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
			same("a rollback to a live revision")
			e.Rollback(t, "web", api.RollbackRequest{Revision: 2})
			// Overlays say 1 of a directory that several layers have.
			links := regexp.MustCompile(`(?m)^(/spool|/spool/d) \d+`)
			if got := e.Must(t, "exec", "web", "sh", "-c", look); links.ReplaceAllString(got, "$1") != links.ReplaceAllString(want, "$1") {
				t.Errorf("after a rollback to the second live revision the container has\n%s\nand had\n%s", got, want)
			}
			e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
			e.Upgrade(t, "web", api.UpgradeRequest{Image: "app:2", HealthTimeout: 1})
			e.Rollback(t, "web", api.RollbackRequest{Carry: true})
			same("a rollback that carries")
		})
	}
}
