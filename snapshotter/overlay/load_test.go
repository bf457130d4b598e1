package overlay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	stock "github.com/containerd/containerd/v2/plugins/snapshots/overlay"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// load is a number of snapshots that are made, used and removed in parallel.
type load struct{ snapshots, parallel int }

// each calls f for every snapshot's number, in parallel.
func (l load) each(f func(i int) error) error {
	numbers, errs := make(chan int), make(chan error, l.parallel)
	var all sync.WaitGroup
	for range l.parallel {
		all.Add(1)
		go func() {
			defer all.Done()
			var err error
			for i := range numbers {
				if err == nil {
					err = f(i)
				}
			}
			errs <- err
		}()
	}
	for i := range l.snapshots {
		numbers <- i
	}
	close(numbers)
	all.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// phases of a load, by name. Each snapshot is committed on one of ten others,
// with an active one on it.
var phases = []string{"make", "look", "remove"}

func (l load) run(ctx context.Context, s snapshots.Snapshotter, phase string) error {
	switch phase {
	case "make":
		err := l.each(func(i int) error { return l.make(ctx, s, i) })
		return errors.Join(err, s.(snapshots.Cleaner).Cleanup(ctx))
	case "look":
		return l.each(func(i int) error { return l.look(ctx, s, i) })
	}
	err := l.each(func(i int) error {
		return errors.Join(s.Remove(ctx, fmt.Sprint("active", i)), s.Remove(ctx, fmt.Sprint("top", i)))
	})
	for i := range 10 {
		err = errors.Join(err, s.Remove(ctx, fmt.Sprint("base", i)))
	}
	return errors.Join(err, s.(snapshots.Cleaner).Cleanup(ctx))
}

func (l load) bases(ctx context.Context, s snapshots.Snapshotter) error {
	for i := range 10 {
		if err := l.commit(ctx, s, fmt.Sprint("base", i), ""); err != nil {
			return err
		}
	}
	return nil
}

func (l load) commit(ctx context.Context, s snapshots.Snapshotter, name, parent string) error {
	mounts, err := s.Prepare(ctx, name+"-new", parent)
	if err != nil {
		return err
	}
	dir := mounts[0].Source
	if parent != "" {
		dir = option(mounts[0], "upperdir")
	}
	if err := fill(dir, name); err != nil {
		return err
	}
	return s.Commit(ctx, name, name+"-new")
}

func (l load) make(ctx context.Context, s snapshots.Snapshotter, i int) error {
	if err := l.commit(ctx, s, fmt.Sprint("top", i), fmt.Sprint("base", i%10)); err != nil {
		return err
	}
	_, err := s.Prepare(ctx, fmt.Sprint("active", i), fmt.Sprint("top", i))
	return err
}

func (l load) look(ctx context.Context, s snapshots.Snapshotter, i int) error {
	mounts, err := s.Mounts(ctx, fmt.Sprint("active", i))
	if err == nil && option(mounts[0], "lowerdir") == "" {
		err = fmt.Errorf("mounts of %d: %+v", i, mounts)
	}
	_, stat := s.Stat(ctx, fmt.Sprint("top", i))
	_, usage := s.Usage(ctx, fmt.Sprint("top", i))
	return errors.Join(err, stat, usage)
}

func TestManyInParallel(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	l := load{snapshots: 200, parallel: 50}
	if err := l.bases(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, phase := range phases {
		if err := l.run(t.Context(), s, phase); err != nil {
			t.Fatalf("%s: %v", phase, err)
		}
		if phase != "make" {
			continue
		}
		err := s.Walk(t.Context(), func(ctx context.Context, info snapshots.Info) error {
			return wholeSnapshot(ctx, s, info)
		})
		if err != nil {
			t.Error(err)
		}
	}
	checkEmpty(t, s, root)
}

// BenchmarkAgainstStock has this snapshotter and containerd's own take turns at
// the same load: 2,000 snapshots, 50 at a time, and one at a time. It reports
// how much of stock's time this one takes.
func BenchmarkAgainstStock(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("it takes root")
	}
	for _, l := range []load{{2000, 50}, {200, 1}} {
		b.Run(fmt.Sprintf("%d-by-%d", l.snapshots, l.parallel), func(b *testing.B) {
			var ours, theirs [3]time.Duration
			for i := 0; i < b.N; i++ {
				for turn := range 2 {
					if (turn+i)%2 == 0 {
						l.time(b, &ours, func(root string) (snapshots.Snapshotter, error) { return overlay.New(root) })
					} else {
						l.time(b, &theirs, func(root string) (snapshots.Snapshotter, error) {
							return stock.NewSnapshotter(root, stock.AsynchronousRemove)
						})
					}
				}
			}
			for i, phase := range phases {
				b.ReportMetric(ours[i].Seconds()/theirs[i].Seconds(), phase+"/stock")
				b.ReportMetric(ours[i].Seconds()/float64(b.N), phase+"-s")
			}
		})
	}
}

// BenchmarkAmongThousands has two snapshotters take turns, one with 5,000
// snapshots and one with few. It reports how much longer the first takes for one
// more, and how long to open.
func BenchmarkAmongThousands(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("it takes root")
	}
	var roots [2]string
	for i, l := range []load{{10, 10}, {5000, 50}} {
		roots[i] = filepath.Join(b.TempDir(), "root")
		s, err := overlay.New(roots[i])
		if err == nil {
			err = errors.Join(l.each(func(n int) error { return l.commit(b.Context(), s, fmt.Sprint(n), "") }), s.Close())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var opening, using [2]time.Duration
	for n := 0; n < b.N; n++ {
		for turn := range roots {
			i := (turn + n) % 2
			root := roots[i]
			begin := time.Now()
			s, err := overlay.New(root)
			if err != nil {
				b.Fatal(err)
			}
			opening[i] += time.Since(begin)
			begin = time.Now()
			for range 20 {
				if err := (load{}).commit(b.Context(), s, "another", "5"); err != nil {
					b.Fatal(err)
				}
				if err := s.Remove(b.Context(), "another"); err != nil {
					b.Fatal(err)
				}
			}
			using[i] += time.Since(begin)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(using[1].Seconds()/using[0].Seconds(), "use/few")
	b.ReportMetric(1000*opening[0].Seconds()/float64(b.N), "open-few-ms")
	b.ReportMetric(1000*opening[1].Seconds()/float64(b.N), "open-thousands-ms")
}

// time adds the times of the phases to times.
func (l load) time(b *testing.B, times *[3]time.Duration, open func(root string) (snapshots.Snapshotter, error)) {
	b.Helper()
	s, err := open(filepath.Join(b.TempDir(), "root"))
	if err != nil {
		b.Fatal(err)
	}
	if err := l.bases(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	for i, phase := range phases {
		begin := time.Now()
		if err := l.run(b.Context(), s, phase); err != nil {
			b.Fatalf("%s: %v", phase, err)
		}
		times[i] += time.Since(begin)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
