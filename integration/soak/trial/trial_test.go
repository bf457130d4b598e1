package trial_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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
	_, err := trial.Run(t.Context(), p, engine, filepath.Join(t.TempDir(), "trial"))
	return err
}

// enough says when the trials of a test are: after a number of them, or the time
// that BALEEN_SOAK says, two minutes in `make test`, divided between two engines.
func enough(t *testing.T) func(trial.Tally) bool {
	t.Helper()
	text := os.Getenv("BALEEN_SOAK")
	if text == "" {
		return func(done trial.Tally) bool { return done.Trials < 30 }
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("BALEEN_SOAK is %q, not a duration", text)
	}
	deadline := time.Now().Add(d / 2)
	return func(done trial.Tally) bool { return done.Trials == 0 || time.Now().Before(deadline) }
}

// TestNothingIsLost does random trials. `make soak` does them without end.
func TestNothingIsLost(t *testing.T) {
	needRoot(t)
	for name, engine := range map[string]trial.Engine{"baleen": trial.Baleen{}, "linking": trial.Linking{}} {
		t.Run(name, func(t *testing.T) { loseNothing(t, name, engine) })
	}
}

func loseNothing(t *testing.T, name string, engine trial.Engine) {
	dir := filepath.Join(t.TempDir(), "trial")
	s := trial.Series{
		Seed: rand.Uint64() >> 32, Steps: 40, Plan: trial.NewPlan, Again: "go run ./integration/soak -engine " + name,
		Try: func(ctx context.Context, p trial.Plan) (int, error) { return trial.Run(ctx, p, engine, dir) },
	}
	done, err := s.Run(t.Context(), enough(t))
	t.Logf("first seed %d, %d trials, %d steps", s.Seed, done.Trials, done.Steps)
	if err != nil {
		t.Fatal(err)
	}
	if done.Steps < 20*done.Trials {
		t.Errorf("in %d trials only %d operations could be done", done.Trials, done.Steps)
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

func TestPlansDifferInAllThatMatters(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(400) {
		p := trial.NewPlan(seed, 10)
		seen["options "+strings.Join(p.Options, ",")]++
		seen[fmt.Sprint("sealed uppers ", len(p.Uppers)-1)]++
		if len(p.Image) == 120 {
			seen["deep image"]++
		}
	}
	for _, want := range []string{
		"options ", "options redirect_dir=on", "options redirect_dir=on,metacopy=on", "options userxattr",
		"sealed uppers 0", "sealed uppers 1", "sealed uppers 2", "deep image",
	} {
		if seen[want] == 0 {
			t.Errorf("no plan has %s: %v", want, seen)
		}
	}
}

// A series ends with the fewest operations that lose something, and with how to
// do them again.
func TestALossIsExplained(t *testing.T) {
	culprit := func(p trial.Plan) bool { return strings.Contains(p.String(), "rename") }
	s := trial.Series{
		Seed: 1, Steps: 40, Plan: trial.NewPlan, Again: "again",
		Try: func(_ context.Context, p trial.Plan) (int, error) {
			if culprit(p) {
				return 0, errors.New("lost")
			}
			return p.Len(), nil
		},
	}
	_, err := s.Run(t.Context(), func(trial.Tally) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "again -seed") || !strings.Contains(err.Error(), ": 1 operations of") || !strings.Contains(err.Error(), "\trename") {
		t.Errorf("the series ended with %v", err)
	}
}
