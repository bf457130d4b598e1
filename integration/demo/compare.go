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

// clock is a program that notes the longest time, in microseconds, for which it
// was not let run. Removing the note has it begin anew.
const clock = `exec 9<> <(:)
longest=0 last=${EPOCHREALTIME//[!0-9]/}
while :; do
	read -rt 0.0005 <&9
	now=${EPOCHREALTIME//[!0-9]/}
	[ -e /dev/shm/longest ] || longest=0
	if ((now - last > longest)); then
		longest=$((now - last))
		echo $longest > /dev/shm/new && mv /dev/shm/new /dev/shm/longest
		now=${EPOCHREALTIME//[!0-9]/}
	fi
	last=$now
done`

// race is what one daemon's commits took.
type race struct{ walls, pauses []time.Duration }

// compare times the same small commit on both daemons, in turns: the machine's
// moods then meet both alike.
func compare(ctx context.Context, fork, stock *stack.Stack) error {
	say("The same commit on stock Moby beside it: one small file changed, in turns")
	races := map[*stack.Stack]*race{fork: {}, stock: {}}
	both := []*stack.Stack{fork, stock}
	for _, s := range both {
		if _, err := docker(ctx, s, "run", "-d", "--name", "race", app.Name, "bash", "-c", clock); err != nil {
			return err
		}
	}
	for round := range rounds {
		for _, s := range both {
			if err := races[s].run(ctx, s, round); err != nil {
				return err
			}
		}
	}
	for _, s := range both {
		if err := remembers(ctx, s); err != nil {
			return err
		}
	}
	for _, r := range []struct {
		name string
		*race
	}{{"Baleen", races[fork]}, {"stock", races[stock]}} {
		fmt.Printf("    %-6s  %6.0f ms, and its container stood still for %6.1f ms\n", r.name, ms(median(r.walls)), ms(median(r.pauses)))
	}
	fmt.Printf("    (medians of %d: wall time of the docker command, and the longest gap that a process in the container saw)\n", rounds)
	return nil
}

// run changes a file and commits.
func (r *race) run(ctx context.Context, s *stack.Stack, round int) error {
	if _, err := docker(ctx, s, "exec", "race", "sh", "-c", fmt.Sprintf("echo %d > /file; rm -f /dev/shm/longest", round)); err != nil {
		return err
	}
	began := time.Now()
	if _, err := docker(ctx, s, "commit", "race", fmt.Sprint("race:", round)); err != nil {
		return err
	}
	r.walls = append(r.walls, time.Since(began))
	longest, err := docker(ctx, s, "exec", "race", "cat", "/dev/shm/longest")
	if err != nil {
		return err
	}
	pause, err := time.ParseDuration(longest + "us")
	if err != nil {
		return fmt.Errorf("the longest pause: %w", err)
	}
	r.pauses = append(r.pauses, pause)
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

// median is that of an odd number of durations. By hand, as in package bench/results.
func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
