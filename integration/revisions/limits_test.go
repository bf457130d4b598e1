package revisions_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestRequestLimits: bodies, messages and lists of requests are bounded, and what is
// refused changes nothing.
func TestRequestLimits(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Must(t, "create", "--name", "web", "busybox")
	e.Must(t, "baleen", "snapshot", id)
	before := e.State(t)
	list := e.Must(t, "baleen", "revisions", "-q", id)
	// Of a body that is longer still a client may hear no more than that nobody reads it.
	text := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct{ path, body, want string }{
		{"/containers/web/snapshot", `{"Message":"` + text(1<<20+1000) + `"}`, "more than 1048576 bytes"},
		{"/containers/web/snapshot", `{"Message":"` + text(5000) + `"}`, "message has 5000 bytes"},
		{"/containers/web/upgrade", `{"Image":"busybox","Paths":[` + strings.Repeat(`{},`, 1000) + `{}]}`, "1001 policies"},
		{"/containers/web/upgrade", `{"Image":"busybox","Paths":[` + strings.Repeat(`{},`, 300_000) + `{}]}`, "more than 20000 values"},
		{"/containers/web/upgrade", `{"Image":"busybox","HealthTimeout":9223372036854775807}`, "health timeout"},
		{"/containers/web/rollback", `{"Message":"` + text(5000) + `"}`, "message has 5000 bytes"},
		{"/containers/web/rollback", strings.Repeat(`{"Paths":[`, 100), "more than 16 levels"},
		{"/containers/web/revisions/prune", text(1<<20 + 1000), "more than 1048576 bytes"},
		{"/containers/web/checkpoint", `{"Ref":"` + text(5000) + `"}`, "name of the checkpoint has 5000 bytes"},
		{"/checkpoints/restore", `{"Ref":"` + text(5000) + `"}`, "name of the checkpoint has 5000 bytes"},
	} {
		status, answer := e.Request(t, http.MethodPost, test.path, test.body)
		if status != http.StatusBadRequest || !strings.Contains(answer, test.want) {
			t.Errorf("%s of %.40s…: %d %s, want an error with %q", test.path, test.body, status, answer, test.want)
		}
	}
	if got := e.Must(t, "baleen", "revisions", "-q", id); got != list {
		t.Errorf("revisions afterwards: %q, before %q", got, list)
	}
	e.Settled(t, before)
	message := text(4096)
	e.Must(t, "baleen", "snapshot", "-m", message, id)
	if got := e.Must(t, "baleen", "revisions", "--no-trunc", "--format", "{{.Message}}", id); !strings.HasPrefix(got, message) {
		t.Errorf("a message of 4,096 bytes has become %q", got)
	}
}
