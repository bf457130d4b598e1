package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/baleen-project/baleen/integration/bench/procfs"
	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// contestant is an engine that takes part. What is timed returns the time that
// it took.
type contestant interface {
	name() string
	stop(ctx context.Context) error

	// load takes an image from an archive, run starts a container of it with
	// `inside` as its program, exec changes it.
	load(ctx context.Context, archive string) error
	run(ctx context.Context, image, container string, args ...string) error
	exec(ctx context.Context, container string, args ...string) error
	// kill ends containers and leaves their files.
	kill(ctx context.Context, containers []string) error
	// remove removes containers and images, also such as are not there.
	remove(ctx context.Context, containers, images []string) error

	commit(ctx context.Context, container, image string) (time.Duration, error)
	build(ctx context.Context, dockerfile, image string) (time.Duration, error)
	diff(ctx context.Context, container string) (time.Duration, error)
	sizes(ctx context.Context) (time.Duration, error)

	// gauge begins to measure what the engine uses; what it returns ends that.
	gauge() (func() (map[string]procfs.Usage, error), error)
	// blobs returns the size of all layers of images that base does not have,
	// or 0 if the engine keeps no blobs.
	blobs(ctx context.Context, base string, images []string) (int64, error)
	// upper returns the folder of a container's changes, or nothing if this
	// contestant is not the one to show it.
	upper(container string) (string, error)

	mover
}

// errUnsupported is returned for what a contestant does not do.
var errUnsupported = errors.New("not comparable")

// turnPatience is how long one turn may take.
const turnPatience = 15 * time.Minute

// turn is one contestant's part of a round: containers are made and changed,
// then measured and removed.
type turn struct {
	arena    *arena
	who      contestant
	workload workload
	round    int

	containers, images []string
	watchers           []*watcher
}

// take returns the sample of the commits or the build. It is in the report then,
// with all else that was measured.
func (t *turn) take(ctx context.Context) (results.Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	defer t.clear(ctx)
	measure := t.commits
	switch t.workload.action() {
	case results.Build:
		measure = t.builds
	case results.Load:
		measure = t.loads
	}
	sample, err := measure(ctx)
	if errors.Is(err, errUnsupported) {
		return sample, err
	}
	t.record(t.workload.action(), sample, err)
	if err != nil {
		return sample, err
	}
	if t.workload.also {
		t.look(ctx)
	}
	if err := t.limits(ctx); err != nil {
		return sample, err
	}
	if t.round < t.workload.moves {
		if err := t.moves(ctx, sample); err != nil && !errors.Is(err, context.Canceled) {
			t.arena.report.Note(fmt.Sprintf("%s: %s kept and moved the container of %s not to the end: %v", t.arena.volume.Kind.Name, t.who.name(), t.workload.id, err))
		}
	}
	return sample, nil
}

// record puts a sample into the report. An interrupt is no failure.
func (t *turn) record(action string, sample results.Sample, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	sample.Round = t.round
	if err != nil {
		sample.Error = err.Error()
	}
	t.arena.add(t.workload, action, t.who.name(), sample)
}

// clear removes what the turn has made, or at least ends it.
func (t *turn) clear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, w := range t.watchers {
		w.close()
	}
	end := func() error { return t.who.remove(ctx, t.containers, t.images) }
	if t.workload.keeps {
		end = func() error { return t.who.kill(ctx, t.containers) }
	}
	if err := end(); err != nil {
		t.arena.report.Note(fmt.Sprintf("%s: %s after %s: %v", t.arena.volume.Kind.Name, t.who.name(), t.workload.id, err))
	}
}

// commits starts and changes the containers and measures their commits, step by
// step.
func (t *turn) commits(ctx context.Context) (results.Sample, error) {
	for i := range t.workload.containers {
		if err := t.start(ctx, t.unique(fmt.Sprintf("c%d", i))); err != nil {
			return results.Sample{}, err
		}
	}
	var sum results.Sample
	for step := range t.workload.steps {
		for i, container := range t.containers {
			args := t.workload.change(t.workload.seed(t.round, i, step), step)
			if err := t.who.exec(ctx, container, args...); err != nil {
				return sum, err
			}
		}
		sample, err := t.step(ctx, step)
		if err != nil {
			return sum, err
		}
		sum = sum.Then(sample)
	}
	var err error
	if sum.Blob, err = t.who.blobs(ctx, imageName(t.workload.files), t.images); err == nil {
		sum.Change, sum.ChangeFiles, err = t.change()
	}
	return sum, err
}

// unique returns a name that no other turn has if what this one made is to stay.
func (t *turn) unique(name string) string {
	if !t.workload.keeps {
		return name
	}
	return fmt.Sprintf("%s-%s-%d", name, strings.ToLower(t.workload.id), t.round)
}

func (t *turn) start(ctx context.Context, container string) error {
	t.containers = append(t.containers, container)
	w := newWatcher(t.arena.control(), fmt.Sprintf("%s-%s", t.who.name(), container))
	t.watchers = append(t.watchers, w)
	if err := t.who.run(ctx, imageName(t.workload.files), container, "watch", w.mounted()); err != nil {
		return err
	}
	return w.await(ctx)
}

// step commits all containers at the same time.
func (t *turn) step(ctx context.Context, step int) (results.Sample, error) {
	images := make([]string, len(t.containers))
	for i := range images {
		images[i] = t.unique(fmt.Sprintf("result-%d-%d", step, i))
	}
	t.images = append(t.images, images...)
	return t.measure(ctx, t.watchers, func(ctx context.Context) (time.Duration, error) {
		return together(len(images), func(i int) (time.Duration, error) {
			return t.who.commit(ctx, t.containers[i], images[i])
		})
	})
}

// together runs n actions at once and returns the time of the longest.
func together(n int, act func(i int) (time.Duration, error)) (time.Duration, error) {
	times, errs := make([]time.Duration, n), make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Add(1)
		go func() {
			defer wait.Done()
			times[i], errs[i] = act(i)
		}()
	}
	wait.Wait()
	var longest time.Duration
	for _, took := range times {
		longest = max(longest, took)
	}
	return longest, errors.Join(errs...)
}

func (t *turn) builds(ctx context.Context) (results.Sample, error) {
	const image = "result-build"
	t.images = append(t.images, image)
	base := imageName(t.workload.files)
	dockerfile := t.workload.dockerfile(base, t.workload.seed(t.round, 0, 0))
	sample, err := t.measure(ctx, nil, func(ctx context.Context) (time.Duration, error) {
		return t.who.build(ctx, dockerfile, image)
	})
	if err == nil {
		sample.Blob, err = t.who.blobs(ctx, base, t.images)
	}
	return sample, err
}

// loads has an image loaded that is new to all.
func (t *turn) loads(ctx context.Context) (results.Sample, error) {
	const image = "result-load"
	t.images = append(t.images, image)
	archive, err := t.arena.newImage(ctx, baseimage.Generated{
		Name: image, Base: "busybox:latest", Files: t.workload.files, Bytes: t.workload.bytes,
		Layers: t.workload.layers, Seed: t.workload.seed(t.round, 0, 0),
	})
	if err != nil {
		return results.Sample{}, err
	}
	return t.measure(ctx, nil, func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		err := t.who.load(ctx, archive)
		return time.Since(began), err
	})
}

// look times `docker diff` and `docker ps -s`.
func (t *turn) look(ctx context.Context) {
	for _, look := range []struct {
		action string
		act    func(context.Context) (time.Duration, error)
	}{
		{results.Diff, func(ctx context.Context) (time.Duration, error) { return t.who.diff(ctx, t.containers[0]) }},
		{results.Sizes, t.who.sizes},
	} {
		sample, err := t.measure(ctx, nil, look.act) // these do not pause
		t.record(look.action, sample, err)
	}
}

// measure takes all figures of one action, with the longest pause that those
// watchers see. Before, it makes the state equal.
func (t *turn) measure(ctx context.Context, watchers []*watcher, act func(context.Context) (time.Duration, error)) (results.Sample, error) {
	var sample results.Sample
	if err := t.settle(); err != nil {
		return sample, err
	}
	stop, err := t.who.gauge()
	if err != nil {
		return sample, err
	}
	for _, w := range watchers {
		if _, err := w.ask("reset"); err != nil {
			return sample, err
		}
	}
	sample.Wall, err = act(ctx)
	usage, gaugeErr := stop()
	if err := errors.Join(err, gaugeErr); err != nil {
		return sample, err
	}
	sample.Usage = usage
	for _, w := range watchers {
		gap, err := w.ask("read")
		if err != nil {
			return sample, err
		}
		sample.Pause = max(sample.Pause, gap)
	}
	return sample, nil
}

// settle writes what is waiting to be written, and empties the page cache if
// that is asked for.
func (t *turn) settle() error {
	if err := t.arena.volume.Sync(); err != nil {
		return err
	}
	if t.arena.opts.cold {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return fmt.Errorf("drop caches: %w", err)
		}
	}
	return nil
}
