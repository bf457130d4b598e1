package overlay_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// A worker is this program in a process of its own, to be killed. It works on a
// root at random and says on its standard output what it does: "+ name" when a
// snapshot is committed, "- name" when one is about to be removed, "x name" when
// one is, "a key" and "d key" when an active one is there, and when it is about
// to be something else.
const (
	workerRoot = "BALEEN_OVERLAY_WORKER" // the root; set for workers only
	workerSeed = "BALEEN_OVERLAY_SEED"   // begins all names, and all chance
	workerDie  = "BALEEN_OVERLAY_DIE"    // step:n, kills itself when it is at step for the nth time
	workerSync = "BALEEN_OVERLAY_SYNC"   // off: never syncs files
)

// keep is how many committed snapshots a worker keeps about.
const keep = 40

type worker struct {
	s    *overlay.Snapshotter
	seed string

	mu        sync.Mutex
	committed []string
	count     int
}

// work is the worker's main. It ends only by force, or by an error.
func work(root string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	s, err := overlay.New(root, workerOptions()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	w := &worker{s: s, seed: os.Getenv(workerSeed)}
	fmt.Println("ready")
	failed := make(chan error)
	for i := range 4 {
		go func() {
			r := chance(fmt.Sprint(w.seed, i))
			for {
				if err := w.turn(context.Background(), r); err != nil {
					failed <- err
				}
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
	return 1
}

func workerOptions() (opts []overlay.Option) {
	if os.Getenv(workerSync) == "off" {
		opts = append(opts, overlay.WithSyncfs(func(int) error { return nil }))
	}
	at, count, ok := strings.Cut(os.Getenv(workerDie), ":")
	if !ok {
		return opts
	}
	left, _ := strconv.Atoi(count)
	var mu sync.Mutex
	return append(opts, overlay.WithHook(func(step string) error {
		mu.Lock()
		defer mu.Unlock()
		if step != at {
			return nil
		}
		if left--; left == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return nil
	}))
}

func (w *worker) turn(ctx context.Context, r *rand.Rand) error {
	name, parent, many := w.draw(r)
	switch n := r.IntN(10); {
	case many || n < 2:
		return w.remove(ctx, parent)
	case n < 3:
		return w.view(ctx, name, parent)
	case n < 4:
		return w.abandon(ctx, name, parent, r)
	}
	return w.commit(ctx, name, parent)
}

// draw returns a new name and one of a committed snapshot.
func (w *worker) draw(r *rand.Rand) (name, parent string, many bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	if n := len(w.committed); n > 0 && r.IntN(5) > 0 {
		parent = w.committed[r.IntN(n)]
	}
	return fmt.Sprintf("%s-%d", w.seed, w.count), parent, len(w.committed) > keep
}

func (w *worker) commit(ctx context.Context, name, parent string) error {
	dir, err := w.prepare(ctx, name, parent)
	if err != nil || dir == "" {
		return err
	}
	if err := fill(dir, name); err != nil {
		return err
	}
	fmt.Println("d", name+"-active")
	if err := w.s.Commit(ctx, name, name+"-active"); err != nil {
		return err
	}
	fmt.Println("+", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed = append(w.committed, name)
	return nil
}

// prepare returns the upper of a new active snapshot, or "" if the parent has
// been removed meanwhile.
func (w *worker) prepare(ctx context.Context, name, parent string) (string, error) {
	mounts, err := w.s.Prepare(ctx, name+"-active", parent)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	fmt.Println("a", name+"-active")
	if mounts[0].Type == "bind" {
		return mounts[0].Source, nil
	}
	return option(mounts[0], "upperdir"), nil
}

func (w *worker) abandon(ctx context.Context, name, parent string, r *rand.Rand) error {
	dir, err := w.prepare(ctx, name, parent)
	if err != nil || dir == "" || r.IntN(4) == 0 {
		return err
	}
	if err := fill(dir, name); err != nil {
		return err
	}
	fmt.Println("d", name+"-active")
	return w.s.Remove(ctx, name+"-active")
}

func (w *worker) view(ctx context.Context, name, parent string) error {
	_, err := w.s.View(ctx, name+"-view", parent)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.s.Remove(ctx, name+"-view")
}

func (w *worker) remove(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	fmt.Println("-", name)
	err := w.s.Remove(ctx, name)
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println("x", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.committed {
		if n == name {
			w.committed = append(w.committed[:i], w.committed[i+1:]...)
			break
		}
	}
	return nil
}

// chance is random, and the same for the same text.
func chance(text string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(text))
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}

// fill writes what a snapshot of a name holds.
func fill(dir, name string) error {
	err := contents(name, func(file string, text []byte) error {
		path := filepath.Join(dir, file)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
	})
	return errors.Join(err, os.Symlink(name, filepath.Join(dir, "link")))
}

// whole checks that a folder holds just what fill wrote.
func whole(dir, name string) error {
	files := 1
	to, err := os.Readlink(filepath.Join(dir, "link"))
	if err == nil && to != name {
		err = fmt.Errorf("the link leads to %s", to)
	}
	err = errors.Join(err, contents(name, func(file string, text []byte) error {
		files++
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil && string(got) != string(text) {
			err = fmt.Errorf("%s has %d bytes, not the %d that were written", file, len(got), len(text))
		}
		return err
	}))
	return errors.Join(err, filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files--
		}
		return err
	}), func() error {
		if files != 0 {
			return fmt.Errorf("%d files are missing or too many", files)
		}
		return nil
	}())
}

func contents(name string, f func(file string, text []byte) error) error {
	r := chance(name)
	for i := range 1 + r.IntN(6) {
		text := make([]byte, r.IntN(1<<uint(r.IntN(17))))
		for j := range text {
			text[j] = byte(r.Uint32())
		}
		if err := f(fmt.Sprintf("dir%d/file%d", r.IntN(3), i), text); err != nil {
			return err
		}
	}
	return nil
}
