package integration_test

import (
	"fmt"
	"strings"
	"testing"
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
			config := usernsConfig(way, nil)
			config.Etc = map[string]string{"subuid": shift.String(), "subgid": shift.String()}
			e := newEnv(t, config, "busybox")
			id := e.run(t, "busybox", "[ -e /new ] || { echo new > /new; chown 6500000:70000 /new; }")
			if got := e.docker(t, "exec", id, "stat", "-c", "%u:%g", "/new"); got != "6500000:70000" {
				t.Fatalf("the file belongs to %s", got)
			}
			e.docker(t, "stop", "-t", "0", id)
			e.docker(t, "baleen", "snapshot", "-q", id)
			e.docker(t, "start", id)
			e.docker(t, "exec", id, "sh", "-c", "rm /new; touch /lost")
			e.docker(t, "baleen", "rollback", "-q", id, "1")
			if got := e.docker(t, "exec", id, "sh", "-c", "stat -c %u:%g /new; ls /lost 2>&1 || true"); got != "6500000:70000\nls: /lost: No such file or directory" {
				t.Errorf("rolled back it has %s", got)
			}
			image := e.docker(t, "commit", id)
			if got := e.docker(t, "run", "--rm", image, "stat", "-c", "%u:%g", "/new"); got != "6500000:70000" {
				t.Errorf("in an image of it the file belongs to %s", got)
			}
		})
	}
}
