package snapshotter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
)

// Waiting for somebody else who makes the same snapshot.
const (
	othersTries = 5
	othersPause = 50 * time.Millisecond // twice that each time
)

// extraction makes one snapshot of a chain out of its layer.
type extraction struct {
	sn     snapshots.Snapshotter
	parent string
	name   digest.Digest
	layer  diff.Layer
	fetch  Fetch
	opts   ChainOptions
}

// run makes the snapshot, or finds that others did.
func (e *extraction) run(ctx context.Context) error {
	unlock, err := extracting.lock(ctx, e.name)
	if err != nil {
		return err
	}
	defer unlock()
	return e.makeLocked(ctx)
}

// makeLocked is run for who has the snapshot's lock.
func (e *extraction) makeLocked(ctx context.Context) error {
	pause := othersPause
	for try := 1; ; try++ {
		if ok, err := exists(ctx, e.sn, e.name); ok || err != nil {
			return err
		}
		err := e.attempt(ctx)
		if err == nil || !errdefs.IsAlreadyExists(err) || try == othersTries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// attempt unpacks and commits. If others have the key, or were faster, it fails
// with AlreadyExists.
func (e *extraction) attempt(ctx context.Context) (err error) {
	key := ExtractKey(e.name)
	mounts, err := e.sn.Prepare(ctx, key, e.parent, e.opts.Snapshot...)
	if err != nil {
		return fmt.Errorf("prepare snapshot %s on %q: %w", key, e.parent, err)
	}
	defer func() {
		if err != nil {
			remove(ctx, e.sn, key)
		}
	}()
	diffID, err := e.unpack(ctx, mounts)
	if err != nil {
		return fmt.Errorf("extract layer %s: %w", e.layer.Blob.Digest, err)
	}
	if err := e.verify(diffID); err != nil {
		return err
	}
	return e.commit(ctx, key)
}

func (e *extraction) verify(diffID digest.Digest) error {
	if diffID != e.layer.DiffID {
		return fmt.Errorf("extract layer %s: stream is %s, its diffID says %s: %w",
			e.layer.Blob.Digest, diffID, e.layer.DiffID, errdefs.ErrDataLoss)
	}
	return nil
}

func (e *extraction) commit(ctx context.Context, key string) error {
	if err := e.sn.Commit(ctx, e.name.String(), key, e.opts.Snapshot...); err != nil {
		return fmt.Errorf("commit snapshot %s: %w", e.name, err)
	}
	return nil
}

func (e *extraction) unpack(ctx context.Context, mounts []mount.Mount) (_ digest.Digest, err error) {
	blob, err := e.fetch(ctx, e.layer.Blob)
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()

	diffID, _, err := apply.ToMounts(ctx, blob, mounts, apply.Options{Sync: true, Limit: e.opts.Limit})
	return diffID, err
}

// extracting holds the snapshots that this process makes.
var extracting = &namedLocks{held: map[digest.Digest]*namedLock{}}

// namedLocks are locks by name. One takes memory only while somebody has it.
type namedLocks struct {
	mu   sync.Mutex
	held map[digest.Digest]*namedLock
}

type namedLock struct {
	token chan struct{} // holds one while the lock is free
	users int           // who have it or wait for it
}

// lock waits for a lock, or for the end of the context.
func (l *namedLocks) lock(ctx context.Context, name digest.Digest) (unlock func(), err error) {
	l.mu.Lock()
	n, ok := l.held[name]
	if !ok {
		n = &namedLock{token: make(chan struct{}, 1)}
		n.token <- struct{}{}
		l.held[name] = n
	}
	n.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case <-n.token:
		return func() { n.token <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
