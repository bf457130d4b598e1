package snap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	c8ddiff "github.com/containerd/containerd/v2/core/diff"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Differ makes layers of trees and trees of layers.
type Differ interface {
	c8ddiff.Comparer
	c8ddiff.Applier
}

// Store is the snapshots of one container. The fields up to Tasks are needed.
type Store struct {
	Container   string // the id
	Snapshotter string // its name, of which Snapshots is the service
	Snapshots   snapshots.Snapshotter
	Content     content.Store
	Leases      leases.Manager
	Tasks       Tasks // of containerd, see Idle
	// Lease is the id of the lease that holds the container's snapshots. If it
	// is empty, what is made is held by the lease in the context alone.
	Lease string
	// Differ is for snapshots whose mounts do not tell the container's changes.
	Differ Differ
}

// KeySuffix ends the name of a snapshot while it is filled.
const KeySuffix = "-key"

// cleanupTimeout bounds completing and undoing after a request was cancelled.
const cleanupTimeout = 30 * time.Second

// Owned returns the context for what the container is to keep.
func (s *Store) Owned(ctx context.Context) context.Context {
	if s.Lease == "" {
		return ctx
	}
	return leases.WithLease(ctx, s.Lease)
}

// Make makes a committed snapshot of the container that fill fills.
func (s *Store) Make(ctx context.Context, name, parent string, labels map[string]string, fill func([]mount.Mount) error) error {
	key := name + KeySuffix
	found := snapshots.WithLabels(map[string]string{label.Container: s.Container}) // after a crash
	mounts, err := s.Snapshots.Prepare(ctx, key, parent, found)
	if errdefs.IsAlreadyExists(err) {
		// If containerd ended during a Commit it has the name still, which it
		// lists no more.
		if err = s.Remove(ctx, key); err == nil {
			mounts, err = s.Snapshots.Prepare(ctx, key, parent, found)
		}
	}
	if err != nil {
		return fmt.Errorf("prepare snapshot %s on %q: %w", key, parent, err)
	}
	intent, err := IntentOf(labels)
	if err == nil && strings.HasPrefix(parent, s.Container) && !intent.Exchanges() { // not an image, nor for an exchange
		err = KeepRoot(mounts)
	}
	if err == nil {
		err = fill(mounts)
	}
	if err == nil {
		owned := ctx
		if intent.Kind != Made {
			owned = s.Owned(ctx)
		}
		err = s.Snapshots.Commit(owned, name, key, snapshots.WithLabels(labels))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make snapshot %s: %w", name, err), s.Undo(ctx, key))
	}
	return nil
}

// Label sets labels of a snapshot of the container.
func (s *Store) Label(ctx context.Context, name string, labels map[string]string) error {
	paths := make([]string, 0, len(labels))
	for key := range labels {
		paths = append(paths, "labels."+key)
	}
	_, err := s.Snapshots.Update(ctx, snapshots.Info{Name: name, Labels: labels}, paths...)
	if err != nil {
		return fmt.Errorf("label snapshot %s: %w", name, err)
	}
	return nil
}

// Unlabel removes labels: an empty one is none.
func (s *Store) Unlabel(ctx context.Context, name string, keys ...string) error {
	labels := make(map[string]string, len(keys))
	for _, key := range keys {
		labels[key] = ""
	}
	return s.Label(ctx, name, labels)
}

// Remove removes a snapshot of the container; one that is not there is no error.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := s.Snapshots.Remove(s.Owned(ctx), name); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove snapshot %s: %w", name, err)
	}
	return nil
}

// Undo removes a snapshot also after ctx has ended.
func (s *Store) Undo(ctx context.Context, key string) error {
	ctx, cancel := Cleanup(ctx)
	defer cancel()
	return s.Remove(ctx, key)
}

// With returns labels and more of them, which win.
func With(labels, more map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+len(more))
	maps.Copy(all, labels)
	maps.Copy(all, more)
	return all
}

// Cleanup returns a context for ending work also after ctx has ended.
func Cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
