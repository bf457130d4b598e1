package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/internal/locks"
)

// rwLayer is a container's writable layer: the active snapshot of its id, held
// by the lease of its id.
type rwLayer struct {
	id   string
	s    *Store
	lock *locks.Container

	// mu is held while the mounter works: it counts users and mounts in two
	// steps, between which it must not be asked about the same root again.
	mu    sync.Mutex
	root  string // where Mount mounted it last
	noted string // the folder of which was noted that it is mounted
}

var _ moby.RWLayer = (*rwLayer)(nil)

func (s *Store) layer(id string) *rwLayer {
	return &rwLayer{id: id, s: s, lock: s.Files.Locks.Of(id)}
}

// Mount mounts the container's root file system, or counts one more user of
// it, and returns its path. The SELinux label is not applied, as in Moby's
// containerd store.
//
// What a move has left undone is completed first: until then the container may
// stand on an empty folder, which is removed later. And the root of a container
// that runs, but is not mounted here, is not mounted a second time, see
// [Store.adoptRoot].
func (l *rwLayer) Mount(string) (string, error) { return l.mount(true) }

func (l *rwLayer) mount(note bool) (_ string, failure error) {
	if err := l.s.lost.why(l.id); err != nil {
		return "", err
	}
	ctx := background()
	if err := l.settle(ctx); err != nil {
		return "", compat.DockerError(fmt.Errorf("settle an interrupted move of container %s: %w", l.id, err))
	}
	defer l.lock.RUnlock()
	mounts, err := l.s.Files.Snapshots("").Mounts(ctx, l.id)
	if err != nil {
		return "", compat.DockerError(fmt.Errorf("look up mounts of container %s: %w", l.id, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.Files.Locks.Mount(l.id)
	defer func() {
		if failure != nil {
			l.s.Files.Locks.Unmount(l.id)
		}
	}()
	if err := l.s.adoptRoot(ctx, l.id, mounts); err != nil {
		return "", compat.DockerError(fmt.Errorf("mount root file system of container %s: %w", l.id, err))
	}
	if note {
		l.note(mounts)
	}
	root, err := l.s.Mounter.Mount(mounts, l.id)
	if err != nil {
		return "", fmt.Errorf("mount root file system of container %s: %w", l.id, err)
	}
	l.root = root
	return root, nil
}

// settle locks the container for reading: what is mounted must not be sealed meanwhile. What
// a move has left undone is completed before, and the container locked for writing only for
// that: others may be measuring the container, and take their time.
//
// What the container is then its next load tells: it still counts as cut.
func (l *rwLayer) settle(ctx context.Context) error {
	l.lock.RLock()
	if !l.s.Files.IsCut(l.id) {
		return nil
	}
	l.lock.RUnlock()
	if err := l.s.Files.RecoverCut(ctx, l.id); err != nil && !errors.Is(err, containerstore.ErrLeft) {
		return err
	}
	l.lock.RLock()
	return nil
}

// Unmount gives back one Mount; the last one unmounts. An image mount may have been
// given up with its container already.
func (l *rwLayer) Unmount() error {
	l.lock.RLock() // nor asked whether it is mounted
	defer l.lock.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	root, image := l.root, isImageMount(l.id)
	if root == "" || image { // mounted by an earlier daemon, and live-restored
		var err error
		if root, err = l.s.Mounter.Mounted(l.id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look up mount point of container %s: %w", l.id, err)
		}
		if root == "" && (image || l.s.lost.why(l.id) != nil) {
			return nil
		}
		if root == "" {
			return fmt.Errorf("unmount root file system of container %s: not mounted", l.id)
		}
	}
	defer l.s.Files.Locks.Unmount(l.id) // also if it failed: then it is mounted, and nobody uses it
	if err := l.s.Mounter.Unmount(root); err != nil {
		return fmt.Errorf("unmount root file system of container %s: %w", l.id, err)
	}
	return nil
}

// Metadata is what `docker inspect` shows as GraphDriver.Data.
func (l *rwLayer) Metadata() (map[string]string, error) {
	return map[string]string{"ID": l.id}, nil
}

// Get returns the writable layer of a container that exists. A move of
// the container that a crash has cut short is settled first. The layer of an image
// mount, which Moby asks for when it starts, is mounted when it returns.
func (s *Store) Get(id string) (moby.RWLayer, error) {
	l := s.layer(id)
	err := s.find(background(), id, containerstore.Remake{})
	if err == nil && isImageMount(id) {
		err = l.mounted()
	}
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("find layer of container %s: %w", id, err))
	}
	return l, nil
}

// find makes sure that there is the layer of a container, and that it is held.
func (s *Store) find(ctx context.Context, id string, how containerstore.Remake) error {
	if id == "" { // as Moby asks for an image mount of --volumes-from
		return fmt.Errorf("a layer without a name: %w", errdefs.ErrNotFound)
	}
	if err := s.Files.Reopen(ctx, id, how); err != nil {
		return err
	}
	if err := s.Files.Settle(ctx, id); err != nil {
		return fmt.Errorf("settle an interrupted move: %w", err)
	}
	err := s.hasLayer(ctx, id)
	if errdefs.IsNotFound(err) {
		if err = s.Files.Recover(ctx, id); err == nil {
			err = s.hasLayer(ctx, id)
		}
	}
	if err != nil {
		return err
	}
	held, err := s.Files.Leases.List(ctx, "id=="+id)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		// Without its lease the layer is garbage to containerd, and goes with
		// the next collection. It is the user's data: hold it again.
		log.G(ctx).WithField("container", id).Warn("the container's layer had lost its lease; holding it again")
		if _, err := s.Hold(ctx, id, id); err != nil {
			return fmt.Errorf("hold again: %w", err)
		}
	}
	return nil
}

// hasLayer fails if there is no active snapshot of a layer.
func (s *Store) hasLayer(ctx context.Context, id string) error {
	lock := s.Files.Locks.Of(id)
	lock.RLock()
	defer lock.RUnlock()
	_, err := s.Files.Snapshots("").Stat(ctx, id)
	return err
}

// Hold has the lease of a layer hold a snapshot that exists, and makes the lease if
// there is none. If it fails it does not delete a lease that it has not made: that may
// hold all that the container has.
func (s *Store) Hold(ctx context.Context, id, snapshot string) (made bool, err error) {
	l, err := s.Files.Leases.Create(ctx, leases.WithID(id))
	made = err == nil
	if errdefs.IsAlreadyExists(err) {
		l, err = leases.Lease{ID: id}, nil
	}
	if err != nil {
		return false, fmt.Errorf("create lease: %w", err)
	}
	err = s.Files.Leases.AddResource(ctx, l, s.Files.Resource(snapshot))
	if err != nil {
		err = fmt.Errorf("hold snapshot: %w", err)
		if made {
			err = errors.Join(err, s.Files.Operations.Delete(ctx, l))
		}
		return false, err
	}
	return made, nil
}

// MountID returns the name of the folder that a container's root is
// mounted on, below the daemon's root: the id, for an existing container.
func (s *Store) MountID(id string) (string, error) {
	if err := s.hasLayer(background(), id); err != nil {
		return "", compat.DockerError(fmt.Errorf("find layer of container %s: %w", id, err))
	}
	return id, nil
}

// Release gives up a container's layer, and what images are mounted for the
// container; containerd then removes them. Releasing what has been released already
// is not an error.
func (s *Store) Release(layer moby.RWLayer) error {
	l, ok := layer.(*rwLayer)
	if !ok {
		return fmt.Errorf("release layer: not a layer of this service: %T", layer)
	}
	return s.release(background(), l)
}

func (s *Store) release(ctx context.Context, l *rwLayer) error {
	if !isImageMount(l.id) {
		if err := s.releasable(ctx, l.id); err != nil {
			return compat.DockerError(fmt.Errorf("release layer of container %s: %w", l.id, err))
		}
	}
	drop := s.unlimited(ctx, l.id)
	// Synchronous: when `docker rm` returns, the space is free.
	err := s.Files.Leases.Delete(ctx, leases.Lease{ID: l.id}, leases.SynchronousDelete)
	if err != nil && !errdefs.IsNotFound(err) {
		return compat.DockerError(fmt.Errorf("release layer of container %s: %w", l.id, err))
	}
	drop()
	s.Files.Locks.Forget(l.id)
	s.Files.Live.Forget(l.id)
	s.lost.found(l.id)
	s.Files.Settled(l.id) // there is nothing left to settle
	return nil
}

// releasable gives up the image mounts of a container, unless it runs: the daemon's
// record is wrong then.
func (s *Store) releasable(ctx context.Context, id string) error {
	pid, err := s.Files.History(id, "").RunningTask(ctx)
	if err == nil && pid != 0 {
		err = fmt.Errorf("containerd has a task of it, process %d: %w", pid, errdefs.ErrConflict)
	}
	if err != nil {
		return err
	}
	return s.releaseImageMounts(ctx, id)
}

// Drop gives up what there is of the layer, and of the image mounts, of a
// container that the daemon did not come to register before it crashed.
func (s *Store) Drop(ctx context.Context, id string) error {
	if err := s.releaseImageMounts(ctx, id); err != nil {
		return compat.DockerError(err)
	}
	err := s.find(ctx, id, containerstore.Remake{})
	if err == nil || errdefs.IsDataLoss(err) {
		return s.release(ctx, s.layer(id))
	}
	if errdefs.IsNotFound(err) { // its lease may hold nothing yet
		err = s.Files.Operations.Delete(ctx, leases.Lease{ID: id})
	}
	if err != nil {
		return compat.DockerError(fmt.Errorf("drop layer of container %s: %w", id, err))
	}
	return nil
}
