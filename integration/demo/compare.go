package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// rounds of commits, so that one slow one does not decide.
const rounds = 5

// compare times the same small commit on both daemons, in turns: the machine's
// moods then meet both alike.
func compare(ctx context.Context, fork, stock *stack.Stack) error {
	say("The same commit on stock Moby beside it: one small file changed, in turns")
	times := map[*stack.Stack][]time.Duration{}
	both := []*stack.Stack{fork, stock}
	for _, s := range both {
		if _, err := docker(ctx, s, "run", "-d", "--name", "race", app.Name, "sleep", "infinity"); err != nil {
			return err
		}
	}
	for round := range rounds {
		for _, s := range both {
			if _, err := docker(ctx, s, "exec", "race", "sh", "-c", fmt.Sprintf("echo %d > /file", round)); err != nil {
				return err
			}
			began := time.Now()
			if _, err := docker(ctx, s, "commit", "race", fmt.Sprint("race:", round)); err != nil {
				return err
			}
			times[s] = append(times[s], time.Since(began))
		}
	}
	for _, s := range both {
		if err := remembers(ctx, s); err != nil {
			return err
		}
	}
	f, o := median(times[fork]), median(times[stock])
	fmt.Printf("    Baleen  %6.0f ms\n    stock   %6.0f ms   (medians of %d, wall time of the docker command)\n", ms(f), ms(o), rounds)
	return nil
}

// remembers checks that each image of the race holds what was written before
// its commit.
func remembers(ctx context.Context, s *stack.Stack) error {
	for round := range rounds {
		image, want := fmt.Sprint("race:", round), fmt.Sprint(round)
		got, err := docker(ctx, s, "run", "--rm", image, "cat", "/file")
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("image %s holds %q, want %q", image, got, want)
		}
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
