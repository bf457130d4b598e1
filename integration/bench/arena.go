package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/stack"
)

// arena is a volume with the contestants on it.
type arena struct {
	*session
	volume      *volume.Volume
	deadline    time.Time
	contestants []contestant
	// absent are those who could not start, and why.
	absent map[string]error
	// made are the images to upgrade to that are there, by contestant.
	made map[string]bool
}

// closePatience is for ending one contestant.
const closePatience = 90 * time.Second

// open starts the contestants and gives them the images. One that cannot start
// has that as the result of all its turns.
func (a *arena) open(ctx context.Context) error {
	a.absent, a.made = map[string]error{}, map[string]bool{}
	for _, start := range []struct {
		name string
		with func(context.Context, *arena) (contestant, error)
	}{
		{results.Fork, startFork},
		{results.Stock, startStock},
		{results.Differ, startDiffer},
		{results.Driver, startDriver},
		{results.Overlay2, startOverlay2},
		{results.Podman, startPodman},
	} {
		if !a.opts.takesPart(start.name) {
			continue
		}
		began := time.Now()
		c, err := start.with(ctx, a)
		if errors.Is(err, errNotInstalled) {
			a.report.Note(fmt.Sprintf("%s took no part: %v", start.name, err))
			continue
		}
		if c != nil {
			a.contestants = append(a.contestants, c)
		}
		for _, files := range a.images() {
			if err == nil {
				err = c.load(ctx, a.archive(files))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.absent[start.name] = err
			fmt.Printf("%s  %s cannot take part: %v\n", a.volume.Kind.Name, start.name, err)
			continue
		}
		fmt.Printf("%s  %s is ready with its images after %.1f s\n", a.volume.Kind.Name, start.name, time.Since(began).Seconds())
	}
	return nil
}

func (a *arena) close(ctx context.Context) error {
	var errs []error
	for _, c := range a.contestants {
		// ctx may have ended by an interrupt.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
		errs = append(errs, c.stop(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// play has the rounds of all workloads, until all are done or time is up.
func (a *arena) play(ctx context.Context) {
	longest := 0
	for _, w := range a.workloads {
		longest = max(longest, w.rounds)
	}
	took, had := map[string]time.Duration{}, map[string]int{}
	for round := range longest {
		for _, w := range a.workloads {
			key := fmt.Sprint(w.id, w.files)
			switch {
			case round >= w.rounds || ctx.Err() != nil:
				continue
			case round > 0 && a.opts.rounds == 0 && !w.always && time.Now().Add(took[key]).After(a.deadline):
				a.report.Note(fmt.Sprintf("%s: %s has had %d of %d rounds, then time was up", a.volume.Kind.Name, w.id, had[key], w.rounds))
				continue
			}
			began := time.Now()
			a.round(ctx, w, round)
			took[key] = time.Since(began)
			had[key]++
		}
	}
}

// round is one turn for each contestant.
func (a *arena) round(ctx context.Context, w workload, round int) {
	line := fmt.Sprintf("%-4s  round %d  %s", a.volume.Kind.Name, round+1, w.id)
	if w.id == "W1" {
		line += fmt.Sprintf(" on %d files", w.files)
	}
	for name, err := range a.absent {
		a.add(w, w.action(), name, results.Sample{Round: round, Error: fmt.Sprintf("did not start: %v", err)})
	}
	for _, c := range a.contestants {
		if a.absent[c.name()] != nil {
			continue
		}
		t := &turn{arena: a, who: c, workload: w, round: round}
		switch sample, err := t.take(ctx); {
		case errors.Is(err, errUnsupported):
		case err != nil:
			line += fmt.Sprintf("   %s failed", c.name())
		default:
			line += fmt.Sprintf("   %s %.3f s", c.name(), sample.Wall.Seconds())
		}
		if ctx.Err() != nil {
			return
		}
	}
	fmt.Println(line)
}

func (a *arena) add(w workload, action, contestant string, sample results.Sample) {
	a.report.Add(results.Case{
		Volume: a.volume.Kind.Name, Workload: w.id, Files: w.files, Action: action, Title: w.title,
	}, contestant, sample)
}

func (w workload) action() string {
	switch {
	case w.meta > 0:
		return results.Build
	case w.layers > 0:
		return results.Load
	}
	return results.Commit
}

// root is where a contestant's stack is.
func (a *arena) root(name string) string { return a.volume.Dir + "/" + rootPrefix + name }

// endStack stops a stack and makes sure that nothing of it is left.
func endStack(ctx context.Context, s *stack.Stack) error {
	return errors.Join(s.Stop(ctx), stack.Leftovers(s.Root()))
}

// writeTo writes a file, unless it has no name.
func writeTo(path string, write func(io.Writer) error) error {
	if strings.TrimSpace(path) == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
