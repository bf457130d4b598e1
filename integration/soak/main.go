// Soak puts random file operations on overlay mounts until its time is over or
// something is lost, and then prints the shortest list of operations that loses
// it.
//
//	go run ./integration/soak -for 2m
//	go run ./integration/soak -seed 7 -for 0        this one plan
//	go run ./integration/soak -ops /some/folder     only operations, no checks
//
// Each trial has a seed of its own, counted up from the first, so that what is
// printed can be done again. See package trial for what is checked, and fsops for
// the operations. Built with CGO_ENABLED=0 the program runs in any container:
// there -ops changes the container's files for a test outside to look at.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/integration/soak/trial"
)

type options struct {
	duration time.Duration
	seed     uint64
	steps    int
	engine   trial.Engine
	dir      string
	ops      string
}

func main() {
	o, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	if o.ops != "" {
		os.Exit(status(operate(o, os.Stdout)))
	}
	mountns.Main(func() int { return status(soak(o, os.Stdout)) })
}

func status(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "for", time.Minute, "how long to go on; one trial at least")
	flags.Uint64Var(&o.seed, "seed", 0, "the first trial's seed (default: a new one each time)")
	flags.IntVar(&o.steps, "steps", 40, "about how many operations a layer has")
	engine := flags.String("engine", "baleen", "baleen, or walking for containerd's differ")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "`folder` for the layers, on the file system to test")
	flags.StringVar(&o.ops, "ops", "", "only perform operations in this `folder`, once")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.steps < 1 {
		return o, fmt.Errorf("-steps is %d, want 1 at least", o.steps)
	}
	seeded := false
	flags.Visit(func(f *flag.Flag) { seeded = seeded || f.Name == "seed" })
	if !seeded {
		o.seed = rand.Uint64() >> 32 // short enough to type
	}
	engines := map[string]trial.Engine{"baleen": trial.Baleen{}, "walking": trial.Walking{}}
	o.engine = engines[*engine]
	if o.engine == nil {
		return o, fmt.Errorf("there is no engine %q", *engine)
	}
	return o, nil
}

// operate only performs operations.
func operate(o options, out io.Writer) error {
	fmt.Fprintf(out, "seed %d\n", o.seed)
	source := fsops.NewSource(rand.New(rand.NewPCG(o.seed, 0)))
	return fsops.Perform(o.ops, source.Take(o.steps))
}

// soak does one trial after the other.
func soak(o options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp(o.dir, "baleen-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "first seed %d\n", o.seed)
	trials, deadline := 0, time.Now().Add(o.duration)
	for ; trials == 0 || time.Now().Before(deadline); trials++ {
		plan := trial.NewPlan(o.seed+uint64(trials), o.steps)
		err := trial.Run(ctx, plan, o.engine, filepath.Join(dir, "trial"))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return explain(ctx, o, dir, plan, o.seed+uint64(trials), err)
		}
	}
	fmt.Fprintf(out, "%d trials, nothing lost\n", trials)
	return nil
}

// patience is how long a plan is shortened.
const patience = 30 * time.Second

// explain shortens a plan that fails and describes it.
func explain(ctx context.Context, o options, dir string, plan trial.Plan, seed uint64, failure error) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	short := trial.Minimise(bounded, plan, func(p trial.Plan) bool {
		err := trial.Run(ctx, p, o.engine, filepath.Join(dir, "trial"))
		if err != nil && ctx.Err() == nil {
			failure = err
			return true
		}
		return false
	})
	return fmt.Errorf("seed %d (go run ./integration/soak -seed %d -steps %d -for 0): %d operations of %d lose it:\n%s%w",
		seed, seed, o.steps, short.Len(), plan.Len(), short, failure)
}
