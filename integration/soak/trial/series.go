package trial

import (
	"context"
	"fmt"
	"time"
)

// A plan that fails is shortened for the time of so many trials, for this long at
// least.
const (
	patience      = 30 * time.Second
	patientTrials = 60
)

// Series is one trial after the other, each with a seed of its own, counted up
// from the first.
type Series struct {
	Seed  uint64
	Steps int // about how many operations a layer has
	// Plan makes up what a trial does, as NewPlan.
	Plan func(seed uint64, steps int) Plan
	// Try does it, and returns how many operations could be done.
	Try func(context.Context, Plan) (int, error)
	// Again is the command that does a trial again, given its seed and steps.
	Again string
}

// Tally is what a series has done.
type Tally struct {
	Trials int
	Steps  int // operations that could be done
}

// Run goes on until more says no, which is asked before each trial, or
// something is lost. The error then lists the fewest operations that lose it.
// When ctx ends Run ends too, and without an error.
func (s Series) Run(ctx context.Context, more func(Tally) bool) (Tally, error) {
	var t Tally
	for ; ctx.Err() == nil && more(t); t.Trials++ {
		seed := s.Seed + uint64(t.Trials)
		plan := s.Plan(seed, s.Steps)
		began := time.Now()
		steps, err := s.Try(ctx, plan)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return t, s.explain(ctx, plan, seed, err, patientTrials*time.Since(began))
		}
		t.Steps += steps
	}
	return t, nil
}

// explain shortens a plan that fails and describes it.
func (s Series) explain(ctx context.Context, plan Plan, seed uint64, failure error, allowed time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, max(patience, allowed))
	defer cancel()
	short := Minimise(bounded, plan, func(p Plan) bool {
		_, err := s.Try(ctx, p)
		if err != nil && ctx.Err() == nil {
			failure = err
			return true
		}
		return false
	})
	return fmt.Errorf("seed %d (%s -seed %d -steps %d -trials 1): %d operations of %d lose it:\n%s%w",
		seed, s.Again, seed, s.Steps, short.Len(), plan.Len(), short, failure)
}
