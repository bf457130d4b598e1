package main

import (
	"context"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/mountns"
)

type options struct {
	duration time.Duration // zero: without end
	trials   int           // zero: without end
	seed     uint64
	steps    int
	places   []string
	engine   string
	dir      string
	modes    []fidelity.Mode
	// For -ops.
	ops   string
	given bool
	every time.Duration
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
		os.Exit(status(operate(o, os.Stdin, os.Stdout)))
	}
	mountns.Main(func() int {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return status(soak(ctx, o, os.Stdout))
	})
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
	flags.DurationVar(&o.duration, "for", 0, "how long to go on, one trial at least (default: without end)")
	flags.IntVar(&o.trials, "trials", 0, "how many trials to do (default: without end)")
	flags.Uint64Var(&o.seed, "seed", 0, "the first trial's seed (default: a new one each time)")
	flags.IntVar(&o.steps, "steps", 40, "about how many operations a layer has")
	in := flags.String("in", "raw", "where: raw for overlay mounts, containers, or both with a comma")
	flags.StringVar(&o.engine, "engine", "baleen", "baleen, linking to share what is sealed, or walking for containerd's differ and stock Moby")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "raw: `folder` for the layers, on the file system to test")
	mode := flags.String("mode", "", "containers: one of the modes of package fidelity (default: all in turns)")
	flags.StringVar(&o.ops, "ops", "", "only perform operations in this `folder`, once")
	flags.BoolVar(&o.given, "given", false, "-ops: those that standard input lists, by encoding/gob")
	flags.DurationVar(&o.every, "every", 0, "-ops: wait so long after each")
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
	o.places = strings.Split(*in, ",")
	return o, o.choose(*mode)
}

// choose looks up what flags name.
func (o *options) choose(mode string) error {
	if engines[o.engine] == nil {
		return fmt.Errorf("there is no engine %q", o.engine)
	}
	for _, place := range o.places {
		if places[place] == nil {
			return fmt.Errorf("there are no trials in %q", place)
		}
	}
	o.modes = fidelity.Modes
	if mode != "" {
		found, ok := fidelity.FindMode(mode)
		if !ok {
			return fmt.Errorf("there is no mode %q", mode)
		}
		o.modes = []fidelity.Mode{found}
	}
	return nil
}

// operate only performs operations.
func operate(o options, in io.Reader, out io.Writer) error {
	var ops []fsops.Op
	if o.given {
		if err := gob.NewDecoder(in).Decode(&ops); err != nil {
			return fmt.Errorf("read operations: %w", err)
		}
	} else {
		fmt.Fprintf(out, "seed %d\n", o.seed)
		ops = fsops.NewSource(rand.New(rand.NewPCG(o.seed, 0))).Take(o.steps)
	}
	done := 0
	for i := range ops {
		n, err := fsops.Perform(o.ops, ops[i:i+1])
		if err != nil {
			return err
		}
		done += n
		time.Sleep(o.every)
	}
	fmt.Fprintf(out, "%d operations done\n", done)
	return nil
}
