package userns_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
)

// TestUserNamespaceOfManyRanges: a mapping of a hundred ranges does not fit into one
// label of containerd's, which has 4,096 bytes with its key. Containers are created,
// kept and moved all the same.
func TestUserNamespaceOfManyRanges(t *testing.T) {
	var shift strings.Builder
	for i := range 100 {
		fmt.Fprintf(&shift, "daemon:%d:65536\n", 1_000_000_000+65536*i)
	}
	for _, way := range []string{"mount", "copy"} {
		t.Run(way, func(t *testing.T) {
			config := harness.UsernsConfig(way, nil)
			config.Etc = map[string]string{"subuid": shift.String(), "subgid": shift.String()}
			e := harness.Start(t, config, "busybox")
			id := e.Run(t, "busybox", "[ -e /new ] || { echo new > /new; chown 6500000:70000 /new; }")
			if got := e.Must(t, "exec", id, "stat", "-c", "%u:%g", "/new"); got != "6500000:70000" {
				t.Fatalf("the file belongs to %s", got)
			}
			e.Must(t, "stop", "-t", "0", id)
			e.Must(t, "baleen", "snapshot", "-q", id)
			e.Must(t, "start", id)
			e.Must(t, "exec", id, "sh", "-c", "rm /new; touch /lost")
			e.Must(t, "baleen", "rollback", "-q", id, "1")
			if got := e.Must(t, "exec", id, "sh", "-c", "stat -c %u:%g /new; ls /lost 2>&1 || true"); got != "6500000:70000\nls: /lost: No such file or directory" {
				t.Errorf("rolled back it has %s", got)
			}
			image := e.Must(t, "commit", id)
			if got := e.Must(t, "run", "--rm", image, "stat", "-c", "%u:%g", "/new"); got != "6500000:70000" {
				t.Errorf("in an image of it the file belongs to %s", got)
			}
		})
	}
}
