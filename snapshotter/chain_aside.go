package snapshotter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
)

// aside is a layer that is extracted before the snapshot below it is there: into
// a snapshot without a parent, whose folder is then exchanged for that of the
// real one. What the upper of an overlay holds depends on the layers below in few
// cases; then it waits for them.
type aside struct {
	*extraction
	below *aside // nil for the lowest

	key, dir string   // of what it is extracted into
	disk     *os.File // that folder, opened before anything was written into it
	diffID   digest.Digest

	prepared sync.Once
	real     string // key of the snapshot that it becomes
	upper    changes.Overlay
	failure  error // to prepare that

	extracted chan error // gets one
	placed    chan struct{}
}

// errInTurn says that layers of this snapshotter are to be extracted one after
// the other, in the snapshots that they become.
var errInTurn = errors.New("no folders of an overlay to exchange")

// applyAside makes the snapshots of a chain, extracting that many layers at once.
// They become snapshots in their order, so those below one that fails stay.
func applyAside(ctx context.Context, chain []*extraction, atOnce int) error {
	var unlocks []func()
	defer func() {
		for _, unlock := range unlocks {
			unlock()
		}
	}()
	var missing []*aside
	for _, e := range chain {
		unlock, err := extracting.lock(ctx, e.name)
		if err != nil {
			return err
		}
		unlocks = append(unlocks, unlock)
		if ok, err := exists(ctx, e.sn, e.name); err != nil {
			return err
		} else if ok {
			missing = nil // and so do those below it
			continue
		}
		a := &aside{extraction: e, extracted: make(chan error, 1), placed: make(chan struct{})}
		if len(missing) > 0 {
			a.below = missing[len(missing)-1]
		}
		missing = append(missing, a)
	}
	return extractAside(ctx, missing, atOnce)
}

// extractAside makes the snapshots of layers. If folders cannot be exchanged, those
// that remain are made one after the other: each attempt might cost a copy of all
// that is below.
func extractAside(ctx context.Context, layers []*aside, atOnce int) error {
	made, err := exchangeAll(ctx, layers, atOnce)
	if !errors.Is(err, errInTurn) {
		return err
	}
	for _, a := range layers[made:] {
		if err := a.makeLocked(ctx); err != nil {
			return err
		}
	}
	return nil
}

// exchangeAll returns how many of the snapshots it has made.
func exchangeAll(ctx context.Context, layers []*aside, atOnce int) (made int, err error) {
	ctx, stop := context.WithCancel(ctx)
	var extracting errgroup.Group
	extracting.SetLimit(atOnce + 1) // and the one that starts the others
	defer func() {
		stop()
		_ = extracting.Wait() // each has told
		for _, a := range layers {
			a.drop(ctx)
		}
	}()
	extracting.Go(func() error {
		for _, a := range layers { // in order: one that waits has those below it begun
			extracting.Go(func() error { a.extracted <- a.extract(ctx); return nil })
		}
		return nil
	})
	for i, a := range layers {
		err := <-a.extracted
		if err == nil {
			err = a.place(ctx)
		}
		if errdefs.IsAlreadyExists(err) {
			a.drop(ctx)
			err = a.makeLocked(ctx)
		}
		if err != nil {
			return i, err
		}
		close(a.placed)
	}
	return len(layers), nil
}

// extract unpacks the layer into a folder of its own.
func (a *aside) extract(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.key = ExtractKey(a.name)
	mounts, err := a.sn.Prepare(ctx, a.key, "", a.opts.Snapshot...)
	if err != nil {
		return fmt.Errorf("prepare snapshot %s: %w", a.key, err)
	}
	if a.dir = boundDir(mounts); a.dir == "" {
		return errInTurn
	}
	if a.disk, err = os.Open(a.dir); err != nil {
		return fmt.Errorf("open snapshot %s: %w", a.key, err)
	}
	if a.diffID, err = a.unpackInto(ctx, a.dir); err != nil {
		return fmt.Errorf("extract layer %s: %w", a.layer.Blob.Digest, err)
	}
	return a.verify(a.diffID)
}

// boundDir is the folder that a bind mount shows; "" if it is something else.
func boundDir(mounts []mount.Mount) string {
	if len(mounts) != 1 || mounts[0].Type != "bind" && mounts[0].Type != "rbind" || mounts[0].Target != "" {
		return ""
	}
	return mounts[0].Source
}

func (a *aside) unpackInto(ctx context.Context, dir string) (_ digest.Digest, err error) {
	blob, err := a.fetch(ctx, a.layer.Blob)
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	opts := apply.Options{Limit: a.opts.Limit}
	if a.parent != "" { // the lowest is no upper: a mark would show in it
		opts.Overlay = true
		opts.Below = func(open func([]string) error) error { return a.withLowers(ctx, open) }
	}
	diffID, _, err := apply.ToDir(ctx, blob, dir, opts)
	return diffID, err
}

// withLowers waits until the snapshot below is there.
func (a *aside) withLowers(ctx context.Context, open func([]string) error) error {
	if a.below != nil {
		select {
		case <-a.below.placed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	return open(a.upper.Lowers)
}

// prepare makes the snapshot that the layer is to become.
func (a *aside) prepare(ctx context.Context) error {
	a.prepared.Do(func() {
		a.real = ExtractKey(a.name)
		mounts, err := a.sn.Prepare(ctx, a.real, a.parent, a.opts.Snapshot...)
		if err != nil {
			a.failure = fmt.Errorf("prepare snapshot %s on %q: %w", a.real, a.parent, err)
			return
		}
		if a.upper, err = changes.ParseOverlay(mounts, a.parent != ""); err != nil || a.upper.UserXattr {
			a.failure = errInTurn
		}
	})
	return a.failure
}

// place makes what was extracted the snapshot of the layer. The snapshot below is
// there.
func (a *aside) place(ctx context.Context) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	upper := a.upper.Uppers[0]
	if err := sameRoot(upper, a.dir); err != nil {
		return err
	}
	err := Exchange(a.dir, upper)
	if errors.Is(err, errors.ErrUnsupported) {
		return errInTurn
	}
	if err != nil {
		return err
	}
	if err := a.sync(); err != nil {
		return err
	}
	if err := a.commit(ctx, a.real); err != nil {
		return err
	}
	a.real = ""
	return nil
}

// sync puts what was extracted on disk, and the exchange. Of data that was lost
// only those hear who had a file open then, and each but once.
func (a *aside) sync() error {
	if err := unix.Syncfs(int(a.disk.Fd())); err != nil {
		return fmt.Errorf("sync file system of %s: %w", a.dir, err)
	}
	return nil
}

// sameRoot gives a folder the owner and mode of another: the snapshotter gave
// them to the one that it made on the parent.
func sameRoot(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("chown %s: %w", to, err)
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod %s: %w", to, err)
	}
	return nil
}

// drop removes what is not, or no longer, needed.
func (a *aside) drop(ctx context.Context) {
	if a.disk != nil {
		_ = a.disk.Close()
		a.disk = nil
	}
	for _, key := range []*string{&a.key, &a.real} {
		if *key != "" {
			remove(ctx, a.sn, *key)
			*key = ""
		}
	}
}
