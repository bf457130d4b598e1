package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/baleen-project/baleen/integration/soak/containers"
	"github.com/baleen-project/baleen/integration/soak/trial"
	"github.com/baleen-project/baleen/integration/stack"
)

// longTurn is how long trials of one kind are done before those of another.
const longTurn = 2 * time.Minute

// places are where trials can be done, and how.
var places = map[string]func(context.Context, options, turnOptions) (trial.Tally, error){
	"raw":        raw,
	"containers": inContainers,
}

var engines = map[string]trial.Engine{"baleen": trial.Baleen{}, "linking": trial.Linking{}, "walking": trial.Walking{}}

// turnOptions are those of one turn.
type turnOptions struct {
	seed  uint64
	count int // of turns in this place so far
	more  func(trial.Tally) bool
}

// soak does the turns.
func soak(ctx context.Context, o options, out io.Writer) error {
	fmt.Fprintf(out, "first seed %d\n", o.seed)
	started := time.Now()
	over := func(trials int) bool {
		return ctx.Err() != nil || o.trials > 0 && trials >= o.trials ||
			o.duration > 0 && trials > 0 && time.Since(started) >= o.duration
	}
	turn := longTurn
	if o.duration > 0 {
		turn = min(turn, o.duration/time.Duration(len(o.places)))
	}
	var sum trial.Tally
	for n := 0; !over(sum.Trials); n++ {
		place, before, began := o.places[n%len(o.places)], sum, time.Now()
		alone := len(o.places) == 1 && (place == "raw" || len(o.modes) == 1)
		done, err := places[place](ctx, o, turnOptions{
			seed: o.seed + uint64(sum.Trials), count: n / len(o.places),
			more: func(t trial.Tally) bool {
				return !over(before.Trials+t.Trials) && (alone || t.Trials == 0 || time.Since(began) < turn)
			},
		})
		sum.Trials += done.Trials
		sum.Steps += done.Steps
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d trials, %d steps; after %s: %d trials, %d steps, nothing lost\n",
			place, done.Trials, done.Steps, time.Since(started).Round(time.Second), sum.Trials, sum.Steps)
	}
	return nil
}

// raw does trials on overlay mounts.
func raw(ctx context.Context, o options, t turnOptions) (_ trial.Tally, err error) {
	dir, err := os.MkdirTemp(o.dir, "baleen-soak-")
	if err != nil {
		return trial.Tally{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return trial.Series{
		Seed: t.seed, Steps: o.steps, Plan: trial.NewPlan, Again: "go run ./integration/soak -engine " + o.engine,
		Try: func(ctx context.Context, p trial.Plan) (int, error) {
			return trial.Run(ctx, p, engines[o.engine], filepath.Join(dir, "trial"))
		},
	}.Run(ctx, t.more)
}

// inContainers does trials in an engine.
func inContainers(ctx context.Context, o options, t turnOptions) (_ trial.Tally, err error) {
	mode := o.modes[t.count%len(o.modes)]
	flavor := stack.Fork
	if o.engine == "walking" {
		flavor = stack.Stock
	}
	lab, err := containers.Open(ctx, flavor, mode)
	if err != nil {
		return trial.Tally{}, err
	}
	defer func() { err = errors.Join(err, lab.Close(context.WithoutCancel(ctx))) }()
	return trial.Series{
		Seed: t.seed, Steps: o.steps, Plan: containers.NewPlan, Try: lab.Try,
		Again: "go run ./integration/soak -in containers -mode " + mode.Name + " -engine " + o.engine,
	}.Run(ctx, t.more)
}
