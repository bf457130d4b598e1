package stack

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// ForTest starts a stack that lasts until the end of the test. It then fails the
// test if the stack does not stop cleanly or leaves anything behind, and if the
// test has failed it shows the end of the daemons' logs. Where no stack can run
// at all, without root for example, the test is skipped.
func ForTest(t testing.TB, config Config) *Stack {
	t.Helper()
	if err := CheckMachine(); errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		t.Skip(err)
	}
	s, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.endTest(t) })
	return s
}

func (s *Stack) endTest(t testing.TB) {
	t.Helper()
	if t.Failed() {
		for _, d := range []Daemon{Containerd, Dockerd, Registry, Proxy} {
			if _, err := os.Stat(s.root.log(d)); err != nil {
				continue // what was not started has no log
			}
			t.Logf("the log of %s ends with:\n%s", d, s.LogTail(d, 50))
		}
	}
	// The test's own context is over by now.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := Leftovers(s.Root()); err != nil {
		t.Error(err)
	}
}
