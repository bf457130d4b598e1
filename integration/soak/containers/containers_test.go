package containers_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/soak/containers"
	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/integration/soak/trial"
	"github.com/baleen-project/baleen/integration/stack"
)

// Snapshots are mounted to be looked at. Nobody else needs to see that.
func TestMain(m *testing.M) { mountns.Main(m.Run) }

// TestNothingIsLost does a few random trials, or as many as the time that
// BALEEN_SOAK_CONTAINERS says allows. `make soak` does them without end.
func TestNothingIsLost(t *testing.T) {
	if err := stack.CheckMachine(); errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		t.Skip(err)
	}
	patience := 15 * time.Second
	if text := os.Getenv("BALEEN_SOAK_CONTAINERS"); text != "" {
		var err error
		if patience, err = time.ParseDuration(text); err != nil {
			t.Fatalf("BALEEN_SOAK_CONTAINERS is %q, not a duration", text)
		}
	}
	mode, _ := fidelity.FindMode("default")
	lab, err := containers.Open(t.Context(), stack.Fork, mode)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // the test's may have ended
		defer cancel()
		if err := lab.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	deadline := time.Now().Add(patience)
	s := trial.Series{
		Seed: rand.Uint64() >> 32, Steps: 40, Plan: containers.NewPlan, Try: lab.Try,
		Again: "go run ./integration/soak -in containers -mode default",
	}
	done, err := s.Run(t.Context(), func(done trial.Tally) bool { return done.Trials == 0 || time.Now().Before(deadline) })
	t.Logf("first seed %d, %d trials, %d steps", s.Seed, done.Trials, done.Steps)
	if err != nil {
		t.Fatal(err)
	}
	if done.Steps == 0 {
		t.Error("no operation could be done")
	}
}
