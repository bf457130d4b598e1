package imageservice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
	"github.com/baleen-project/baleen/snapshotter"
)

// sealed is a layer, and the snapshot of it that is still to be committed. An
// empty layer has none. Both are held only by the lease of the operation.
type sealed struct {
	layer diff.Layer
	chain []digest.Digest // diffIDs below the layer
	whole bool            // it was made by comparing whole trees

	sn   snapshots.Snapshotter
	key  string                                       // of the active snapshot; "" if there is none
	keep func(ctx context.Context, name string) error // puts a snapshot under the lease
}

// seal turns a container's changes into a layer, and into a snapshot on top of
// chain, the diffIDs of the container's image. The container is paused only
// while its changes are read.
//
// What cannot be read from the container's upper directory is found by
// comparing whole trees, which costs what the image weighs.
func (s *Service) seal(ctx context.Context, t *phases.Operation, ctr *moby.Container, l looked) (sealed, error) {
	chain := l.base.Config.RootFS.DiffIDs
	err := l.readable()
	if err == nil {
		var layer sealed
		still := func(ctx context.Context) error { return s.unmoved(ctx, ctr, l.stack.Made) }
		if layer, err = s.sealUpper(ctx, t, source{sn: s.snapshots(ctr.Driver), changes: l.overlay, chain: chain, still: still, pause: l.pause}); err == nil {
			return layer, nil
		}
	}
	if !errors.Is(err, diff.ErrUnsupported) {
		return sealed{}, err
	}
	log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("committing by comparing whole trees")
	layer, err := s.sealTrees(ctx, t, ctr, l)
	return sealed{layer: layer, whole: true}, err
}

// readable says why a container's uppers do not tell what it changed in its image.
func (l looked) readable() error {
	want := identity.ChainID(l.base.Config.RootFS.DiffIDs).String()
	if l.stack.IDs.Way == containerstore.Remapped {
		want = snapshotter.RemappedName(want, l.stack.IDs.Map)
	}
	if l.unreadable == nil && l.stack.Base != want {
		return fmt.Errorf("%w: its layers stand on snapshot %q, and not on the image's %q", diff.ErrUnsupported, l.stack.Base, want)
	}
	return l.unreadable
}

// source is what sealUpper reads.
type source struct {
	sn      snapshots.Snapshotter // has it, and gets the new snapshot
	changes *changes.Container
	chain   []digest.Digest             // diffIDs of the image below
	still   func(context.Context) error // fails if it is not any more what it was
	pause   Pause
}

// sealUpper copies what a container's upper holds into a new snapshot on its chain, and
// makes the layer from that. Large files of layers that have been sealed are
// linked. When all is read it asks whether the upper was still what it was.
func (s *Service) sealUpper(ctx context.Context, t *phases.Operation, from source) (_ sealed, err error) {
	// The steps of a build that change metadata alone come with such containers.
	untouched, err := from.changes.Untouched(ctx)
	if err != nil {
		return sealed{}, err
	}
	if untouched {
		return sealed{layer: diff.EmptyLayer()}, from.still(ctx)
	}
	parent := identity.ChainID(from.chain)
	made := sealed{chain: from.chain, sn: from.sn, key: snapshotter.ExtractKey(parent), keep: s.keepSnapshot}
	mounts, err := from.sn.Prepare(ctx, made.key, parent.String())
	if err != nil {
		return sealed{}, fmt.Errorf("prepare snapshot on %q: %w", parent, err)
	}
	defer func() { // after the thaw: it may take long
		if err != nil || made.layer.Empty() {
			made.drop(ctx)
		}
	}()
	target, err := changes.ParseOverlay(mounts, len(from.chain) > 0)
	if err != nil {
		return sealed{}, err
	}
	upper := target.Uppers[0]
	disk, err := dirtree.OpenDisk(upper)
	if err != nil {
		return sealed{}, err
	}
	defer disk.Close()

	// Not before: to prepare takes longer than to pause, and as long as containerd
	// likes.
	thaw := from.pause.begin()
	defer thaw()
	stats, err := s.copyChanges(ctx, t, from.changes, upper)
	if err != nil {
		if moved := from.still(ctx); errors.Is(moved, errMoved) {
			err = moved
		}
		return sealed{}, err
	}
	go s.thaw(ctx, t, thaw) // the deferred call waits for it
	if stats.Changes == 0 {
		made.layer = diff.EmptyLayer()
		return sealed{layer: made.layer}, from.still(ctx)
	}
	both, bctx := errgroup.WithContext(ctx)
	both.Go(func() error { return from.still(bctx) })
	both.Go(func() (err error) {
		made.layer, err = s.store(bctx, t, disk, upper, target.UserXattr, stats)
		return err
	})
	if err = both.Wait(); err != nil {
		return sealed{}, err
	}
	return made, nil
}

// remains fails if a snapshot that has been read has been removed meanwhile: then
// perhaps only a part of it was still there. The record goes before the files.
func remains(ctx context.Context, sn snapshots.Snapshotter, key string) (snapshots.Info, error) {
	info, err := sn.Stat(ctx, key)
	if err != nil {
		return info, fmt.Errorf("look whether what was read is still there: %w", err)
	}
	return info, nil
}

// errMoved says that a container was sealed, upgraded or rolled back between the
// moment that its upper was looked up and the end of its reading: it may have been
// another one's, or an empty folder.
var errMoved = errdefs.ErrConflict.WithMessage("the container moved while it was read")

// unmoved fails if the active snapshot of a container is not the one that was made
// then.
func (s *Service) unmoved(ctx context.Context, ctr *moby.Container, made time.Time) error {
	lock := s.locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	info, err := remains(ctx, s.snapshots(ctr.Driver), ctr.ID)
	if err == nil && !info.Created.Equal(made) {
		err = errMoved
	}
	return err
}

// commit gives the snapshot the name that its layers have.
func (m *sealed) commit(ctx context.Context) error {
	if m.key == "" {
		return nil
	}
	chainID := identity.ChainID(append(m.chain[:len(m.chain):len(m.chain)], m.layer.DiffID))
	err := m.sn.Commit(ctx, chainID.String(), m.key)
	switch {
	case err == nil:
		m.key = ""
	case errdefs.IsAlreadyExists(err): // somebody else's is the same, and perhaps garbage
		return m.keep(ctx, chainID.String())
	default:
		return fmt.Errorf("commit snapshot %s: %w", chainID, err)
	}
	return nil
}

// drop removes the snapshot, if it has not been committed.
func (m *sealed) drop(ctx context.Context) {
	if m.key != "" {
		removeSnapshot(ctx, m.sn, m.key)
		m.key = ""
	}
}

// copyChanges seals the container's changes in upper.
func (s *Service) copyChanges(ctx context.Context, t *phases.Operation, c *changes.Container, upper string) (snapshotter.SealStats, error) {
	sctx, done := t.Phase(ctx, "seal")
	stats, err := snapshotter.SealBelow(sctx, c, upper, linkFrom, s.options.limit())
	done(err)
	if err != nil {
		return stats, err
	}
	t.Add("changes", stats.Changes)
	t.Add("bytes", stats.Bytes)
	t.Add("cloned", stats.Cloned)
	t.Add("linked", stats.Linked)
	phases.Sealed(stats.Changes, stats.Bytes)
	return stats, nil
}

// thaw lets the container go on.
func (s *Service) thaw(ctx context.Context, t *phases.Operation, thaw func()) {
	_, done := t.Phase(ctx, "thaw")
	thaw()
	done(nil)
}

// store puts a sealed upper on disk, and the layer of it into the content
// store.
func (s *Service) store(ctx context.Context, t *phases.Operation, disk *dirtree.Disk, upper string, userXattr bool, stats snapshotter.SealStats) (layer diff.Layer, err error) {
	ctx, done := t.Phase(ctx, "ship")
	defer func() { done(err) }()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return snapshotter.Sync(ctx, disk, upper, stats) })
	both.Go(func() (err error) { layer, err = s.ship(ctx, upper, userXattr, stats); return err })
	if err := both.Wait(); err != nil {
		return diff.Layer{}, err
	}
	t.Add("blob", layer.Blob.Size)
	phases.Stored(layer.Blob.Size)
	return layer, nil
}

// sealTrees makes the layer by comparing what the container is with what it
// was, and the snapshot by unpacking the layer.
func (s *Service) sealTrees(ctx context.Context, t *phases.Operation, ctr *moby.Container, l looked) (layer diff.Layer, err error) {
	ctx, done := t.Phase(ctx, "seal")
	defer func() { done(err) }()
	thaw := l.pause.begin()
	defer thaw()
	err = s.withTrees(ctx, ctr, func(before, now []mount.Mount) error {
		layer, err = tarlayer.FromTrees(ctx, s.differ, s.content, before, now)
		return err
	})
	thaw()
	if err == nil {
		err = s.unmoved(ctx, ctr, l.stack.Made)
	}
	if err != nil {
		return diff.Layer{}, fmt.Errorf("read changes: %w", err)
	}
	if layer.Empty() {
		return layer, nil
	}
	return layer, s.apply(ctx, s.snapshots(ctr.Driver), l.base.Config.RootFS.DiffIDs, layer)
}

// apply makes the snapshot of a layer that is stored, and keeps it: there may be
// one already.
func (s *Service) apply(ctx context.Context, sn snapshots.Snapshotter, chain []digest.Digest, layer diff.Layer) error {
	chainID := identity.ChainID(append(chain[:len(chain):len(chain)], layer.DiffID))
	if err := s.keepSnapshot(ctx, chainID.String()); err != nil {
		return err
	}
	_, err := snapshotter.Apply(ctx, sn, chain, layer, s.fetch, snapshotter.ChainOptions{Limit: s.options.limit()})
	return err
}

// withImageIDs calls f with the container's tree as the image would have it.
// Under user namespaces the container's files belong to other ids: then f gets a
// copy of the tree with the image's.
func (s *Service) withImageIDs(ctx context.Context, ctr *moby.Container, root []mount.Mount, f func([]mount.Mount) error) error {
	if s.ids.Empty() {
		return f(root)
	}
	sn := s.snapshots(ctr.Driver)
	key := temporaryKey(ctr.ID, "unmapped")
	mounts, err := sn.Prepare(ctx, key, "")
	if err != nil {
		return fmt.Errorf("prepare snapshot %s: %w", key, err)
	}
	defer removeSnapshot(ctx, sn, key)
	if err := snapshotter.CopyRemapped(ctx, mounts, root, s.ids.Inside); err != nil {
		return fmt.Errorf("map ids back: %w", err)
	}
	return f(mounts)
}

// temporaryKey names a snapshot that lives for one operation on a container.
func temporaryKey(id, purpose string) string {
	return id + "-" + purpose + "-" + rand.Text()
}

// removeSnapshot drops a temporary snapshot, also after ctx has ended.
func removeSnapshot(ctx context.Context, sn snapshots.Snapshotter, key string) {
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	err := sn.Remove(ctx, key)
	if err != nil && !errdefs.IsNotFound(err) {
		err = sn.Remove(ctx, key) // containerd may be long in collecting it
	}
	if err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("snapshot", key).Warn("could not remove a temporary snapshot; containerd collects it when its lease ends")
	}
}
