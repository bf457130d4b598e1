package commit_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// abusedContent makes what the commits of this file take some time for, and
// abusedSums tells whether it is whole.
const (
	abusedContent = "test -e /f300 || { dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; for i in $(seq 300); do echo $i > /f$i; done; }"
	abusedSums    = "md5sum /big; cat /f* | md5sum"
)

// abuseDelays are how long after its beginning a commit is disturbed.
var abuseDelays = []time.Duration{0, 40, 100, 200, 400}

// commitDisturbed commits a container and calls disturb meanwhile, after some
// milliseconds.
func commitDisturbed(t *testing.T, e *harness.Env, id string, delay time.Duration, disturb func()) (out string, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err = harness.Output(e.Docker(t.Context(), "commit", id))
	}()
	time.Sleep(delay * time.Millisecond)
	disturb()
	<-done
	return out, err
}

// wholeOrNone checks the result of a commit that was disturbed: an image that
// holds all, or an error that names the container.
func wholeOrNone(t *testing.T, e *harness.Env, id, want, out string, err error) {
	t.Helper()
	if err != nil {
		if !strings.Contains(out, id) {
			t.Errorf("the commit failed, and the message does not name the container: %s", out)
		}
		return
	}
	if got := e.Must(t, "run", "--rm", out, "sh", "-c", abusedSums); got != want {
		t.Errorf("the image holds\n%s\nwant\n%s", got, want)
	}
	e.Must(t, "rmi", out)
}

// TestCommitOfAContainerThatIsRemoved removes a container in the middle of its
// commit. That gives a whole image, or none.
func TestCommitOfAContainerThatIsRemoved(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.Must(t, "run", "--rm", "busybox", "true") // the image is unpacked then
	before := e.StateAtRest(t)
	failed := 0
	for _, delay := range abuseDelays {
		id := e.Run(t, "busybox", abusedContent)
		want := e.Must(t, "exec", id, "sh", "-c", abusedSums)
		out, err := commitDisturbed(t, e, id, delay, func() { e.Must(t, "rm", "-f", id) })
		if err != nil {
			failed++
			t.Logf("removed after %d ms: %s", delay, out)
		}
		wholeOrNone(t, e, id, want, out, err)
		e.SettledBut(t, fmt.Sprintf("removal after %d ms", delay), before)
	}
	t.Logf("%d of %d commits failed", failed, len(abuseDelays))
}

// TestCommitOfAContainerThatEnds ends a container in the middle of its commit,
// in all ways that there are. The commit succeeds: what it reads stays. And the
// container is what it was told to be, not paused.
func TestCommitOfAContainerThatEnds(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", abusedContent)
	want := e.Must(t, "exec", id, "sh", "-c", abusedSums)
	before := e.StateAtRest(t)
	for i, delay := range abuseDelays {
		for _, tc := range []struct {
			args   []string
			status string
		}{
			{[]string{"kill", id}, "exited"},
			{[]string{"stop", "-t", "1", id}, "exited"},
			{[]string{"restart", "-t", "1", id}, "running"},
			{[]string{"exec", id, "kill", "-TERM", "1"}, "exited"},
		}[i%2*2:][:2] {
			what := fmt.Sprintf("%s after %d ms", tc.args[0], delay)
			out, err := commitDisturbed(t, e, id, delay, func() {
				harness.Eventually(t, what, func() error {
					// A container that is paused takes no commands.
					if out, err := e.Try(t, tc.args...); err != nil && !strings.Contains(out, "is not running") {
						return fmt.Errorf("%w: %s", err, out)
					}
					return nil
				})
			})
			harness.Eventually(t, "the container to be "+tc.status, func() error {
				if status := e.Inspect(t, id, "{{.State.Status}}"); status != tc.status {
					return fmt.Errorf("after %s it is %s", what, status)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %s", what, out)
			}
			wholeOrNone(t, e, id, want, out, err)
			e.Must(t, "start", id)
			e.SettledBut(t, what, before)
		}
	}
}

// TestCommitOfAContainerThatIsPaused pauses and thaws a container while it is
// being committed: who is last decides.
func TestCommitOfAContainerThatIsPaused(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", abusedContent)
	want := e.Must(t, "exec", id, "sh", "-c", abusedSums)
	before := e.StateAtRest(t)
	for _, delay := range abuseDelays {
		// runc gives up to freeze the control group of a busy container after so many
		// tries, with cgroups v1.
		expected := []string{"paused", "cannot resume a running", "unable to freeze"}
		out, err := commitDisturbed(t, e, id, delay, func() {
			for _, verb := range []string{"unpause", "pause", "unpause"} {
				out, err := e.Try(t, verb, id)
				if err != nil && !slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(out, text) }) {
					t.Errorf("docker %s: %v: %s", verb, err, out)
				}
			}
		})
		if err != nil {
			t.Errorf("disturbed after %d ms: %s", delay, out)
		}
		wholeOrNone(t, e, id, want, out, err)
		e.SettledBut(t, fmt.Sprintf("pauses after %d ms", delay), before)
	}
}

// TestCommitToABadName: a name that is none is refused before anything is done.
// The docker command would refuse most of them by itself, so this asks the
// daemon.
func TestCommitToABadName(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	before := e.StateAtRest(t)
	const invalid = "invalid reference format"
	for _, tc := range []struct{ repo, tag, message string }{
		{"Upper/Case", "", "must be lowercase"},
		{"UPPER", "tag", "must be lowercase"},
		{"a:b:c", "", invalid},
		{"name", "-tag", "invalid tag format"},
		{"name", "a tag", "invalid tag format"},
		{"-name", "", invalid},
		{"a//b", "", invalid},
		{strings.Repeat("n", 256), "", "must not be more than 255"},
		{"name", strings.Repeat("t", 129), "invalid tag format"},
		{strings.Repeat("0", 64), "", "cannot specify 64-byte hexadecimal strings"},
		{"name@sha256:" + strings.Repeat("0123456789", 6), "", "invalid"},
		{"name@sha256:" + strings.Repeat("01234567", 8), "", "digest"},
	} {
		var status int
		var text string
		query := url.Values{"container": {id}, "repo": {tc.repo}, "tag": {tc.tag}}
		told := harness.Events(t, e, id, func() { status, text = e.Post(t, "/commit?"+query.Encode()) })
		if status != http.StatusBadRequest || !strings.Contains(text, tc.message) {
			t.Errorf("commit to %q, %q is answered with %d %q; want 400 and %q", tc.repo, tc.tag, status, text, tc.message)
		}
		if len(told) > 0 {
			t.Errorf("commit to %q, %q gave events %v", tc.repo, tc.tag, told)
		}
		if err := before.Compare(e.State(t)); err != nil {
			t.Errorf("commit to %q, %q: %v", tc.repo, tc.tag, err)
		}
	}
	// What a refusal has not touched is still good for a commit.
	e.Must(t, "commit", id, "good/name:1")
	e.Must(t, "rmi", "good/name:1")
	e.Settled(t, before)
}
