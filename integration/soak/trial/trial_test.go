package trial_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/integration/soak/trial"
)

func TestMain(m *testing.M) { mountns.Main(m.Run) }

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount overlays")
	}
}

// run is what a plan comes to.
func run(t *testing.T, p trial.Plan, engine trial.Engine) error {
	t.Helper()
	return trial.Run(t.Context(), p, engine, filepath.Join(t.TempDir(), "trial"))
}

// TestNothingIsLost does some random trials. `go run ./integration/soak` does
// many.
func TestNothingIsLost(t *testing.T) {
	needRoot(t)
	first := rand.Uint64() >> 32
	for seed := first; seed < first+30; seed++ {
		if err := run(t, trial.NewPlan(seed, 40), trial.Baleen{}); err != nil {
			t.Fatalf("seed %d; to shorten it: go run ./integration/soak -seed %d -for 0: %v", seed, seed, err)
		}
	}
}

// What the walking differ loses is found, and comes down to what loses it.
func TestALossIsFoundAndMinimised(t *testing.T) {
	needRoot(t)
	plan := trial.NewPlan(1, 20)
	file := fsops.Op{Verb: "create", Path: "lost", N: 5, Text: "x"}
	change := fsops.Op{Verb: "setxattr", Path: "lost", To: "user.a", Text: "y"}
	plan.Image[0] = append(plan.Image[0], file)
	plan.Uppers[len(plan.Uppers)-1] = append(plan.Uppers[len(plan.Uppers)-1], change)
	fails := func(p trial.Plan) bool { return run(t, p, trial.Walking{}) != nil }
	if !fails(plan) {
		t.Fatal("the walking differ lost nothing")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if short := trial.Minimise(ctx, plan, fails); short.Len() > 4 {
		t.Errorf("minimised from %d operations only to\n%s", plan.Len(), short)
	}
}

func TestPlansAreRepeatable(t *testing.T) {
	if !reflect.DeepEqual(trial.NewPlan(5, 40), trial.NewPlan(5, 40)) {
		t.Error("the same seed gave two plans")
	}
	if reflect.DeepEqual(trial.NewPlan(5, 40), trial.NewPlan(6, 40)) {
		t.Error("two seeds gave the same plan")
	}
}
