package commit

import (
	"context"
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
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
	"github.com/baleen-project/baleen/snapshotter"
)

// Sealed is a layer, and the snapshot of it that is still to be committed. An
// empty layer has none. Both are held only by the lease of the operation.
type Sealed struct {
	Layer diff.Layer
	Whole bool // it was made by comparing whole trees

	chain []digest.Digest // diffIDs below the layer
	sn    snapshots.Snapshotter
	key   string                                       // of the active snapshot; "" if there is none
	keep  func(ctx context.Context, name string) error // puts a snapshot under the lease
}

// Seal turns a container's changes into a layer, and into a snapshot on top of
// chain, the diffIDs of the container's image. The container is paused only
// while its changes are read.
//
// What cannot be read from the container's upper directory is found by
// comparing whole trees, which costs what the image weighs.
func (m *Maker) Seal(ctx context.Context, t *phases.Operation, ctr *moby.Container, l Origin) (Sealed, error) {
	chain := l.Base.Config.RootFS.DiffIDs
	err := l.Readable()
	if err == nil {
		var layer Sealed
		still := func(ctx context.Context) error { return m.unmoved(ctx, ctr, l.Stack.Made) }
		if layer, err = m.sealUpper(ctx, t, source{sn: m.Files.Snapshots(ctr.Driver), changes: l.Overlay, chain: chain, still: still, pause: l.Pause}); err == nil {
			return layer, nil
		}
	}
	if !errors.Is(err, diff.ErrUnsupported) {
		return Sealed{}, err
	}
	log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("committing by comparing whole trees")
	layer, err := m.sealTrees(ctx, t, ctr, l)
	return Sealed{Layer: layer, Whole: true}, err
}

// Readable returns an error if a container's uppers do not tell what it changed in its image.
func (l Origin) Readable() error {
	want := identity.ChainID(l.Base.Config.RootFS.DiffIDs).String()
	if l.Stack.IDs.Way == containerstore.Remapped {
		want = snapshotter.RemappedName(want, l.Stack.IDs.Map)
	}
	if l.unreadable == nil && l.Stack.Base != want {
		return fmt.Errorf("%w: its layers stand on snapshot %q, and not on the image's %q", diff.ErrUnsupported, l.Stack.Base, want)
	}
	return l.unreadable
}

// source is what sealUpper reads.
type source struct {
	sn      snapshots.Snapshotter // has it, and gets the new snapshot
	changes *changes.Container
	chain   []digest.Digest             // diffIDs of the image below
	still   func(context.Context) error // fails if it is not any more what it was
	pause   pause.Func
}

// sealUpper copies what a container's upper holds into a new snapshot on its chain, and
// makes the layer from that. Large files of layers that have been sealed are
// linked. When all is read it asks whether the upper was still what it was.
func (m *Maker) sealUpper(ctx context.Context, t *phases.Operation, from source) (_ Sealed, err error) {
	// The steps of a build that change metadata alone come with such containers.
	untouched, err := from.changes.Untouched(ctx)
	if err != nil {
		return Sealed{}, err
	}
	if untouched {
		return Sealed{Layer: diff.EmptyLayer()}, from.still(ctx)
	}
	parent := identity.ChainID(from.chain)
	made := Sealed{chain: from.chain, sn: from.sn, key: snapshotter.ExtractKey(parent), keep: m.Files.Keep}
	mounts, err := from.sn.Prepare(ctx, made.key, parent.String())
	if err != nil {
		return Sealed{}, fmt.Errorf("prepare snapshot on %q: %w", parent, err)
	}
	defer func() { // after the thaw: it may take long
		if err != nil || made.Layer.Empty() {
			made.Drop(ctx)
		}
	}()
	target, err := changes.ParseOverlay(mounts, len(from.chain) > 0)
	if err != nil {
		return Sealed{}, err
	}
	upper := target.Uppers[0]
	disk, err := dirtree.OpenDisk(upper)
	if err != nil {
		return Sealed{}, err
	}
	defer disk.Close()

	// Not before: to prepare takes longer than to pause, and as long as containerd
	// likes.
	thaw := from.pause.Begin()
	defer thaw()
	stats, err := m.copyChanges(ctx, t, from.changes, upper)
	if err != nil {
		if moved := from.still(ctx); errors.Is(moved, errMoved) {
			err = moved
		}
		return Sealed{}, err
	}
	go m.thaw(ctx, t, thaw) // the deferred call waits for it
	if stats.Changes == 0 {
		made.Layer = diff.EmptyLayer()
		return Sealed{Layer: made.Layer}, from.still(ctx)
	}
	both, bctx := errgroup.WithContext(ctx)
	both.Go(func() error { return from.still(bctx) })
	both.Go(func() (err error) {
		made.Layer, err = m.store(bctx, t, disk, upper, target.UserXattr, stats)
		return err
	})
	if err = both.Wait(); err != nil {
		return Sealed{}, err
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
func (m *Maker) unmoved(ctx context.Context, ctr *moby.Container, made time.Time) error {
	lock := m.Files.Locks.Of(ctr.ID)
	lock.RLock()
	defer lock.RUnlock()
	info, err := remains(ctx, m.Files.Snapshots(ctr.Driver), ctr.ID)
	if err == nil && !info.Created.Equal(made) {
		err = errMoved
	}
	return err
}

// commit gives the snapshot the name that its layers have.
func (m *Sealed) commit(ctx context.Context) error {
	if m.key == "" {
		return nil
	}
	chainID := identity.ChainID(append(m.chain[:len(m.chain):len(m.chain)], m.Layer.DiffID))
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

// Drop removes the snapshot, if it has not been committed.
func (m *Sealed) Drop(ctx context.Context) {
	if m.key != "" {
		files.RemoveTemporary(ctx, m.sn, m.key)
		m.key = ""
	}
}

// copyChanges seals the container's changes in upper.
func (m *Maker) copyChanges(ctx context.Context, t *phases.Operation, c *changes.Container, upper string) (snapshotter.SealStats, error) {
	sctx, done := t.Phase(ctx, "seal")
	stats, err := snapshotter.SealBelow(sctx, c, upper, linkFrom, m.Limit)
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
func (m *Maker) thaw(ctx context.Context, t *phases.Operation, thaw func()) {
	_, done := t.Phase(ctx, "thaw")
	thaw()
	done(nil)
}

// store puts a sealed upper on disk, and the layer of it into the content
// store.
func (m *Maker) store(ctx context.Context, t *phases.Operation, disk *dirtree.Disk, upper string, userXattr bool, stats snapshotter.SealStats) (layer diff.Layer, err error) {
	ctx, done := t.Phase(ctx, "ship")
	defer func() { done(err) }()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return snapshotter.Sync(ctx, disk, upper, stats) })
	both.Go(func() (err error) { layer, err = m.shipUpper(ctx, upper, userXattr, stats); return err })
	if err := both.Wait(); err != nil {
		return diff.Layer{}, err
	}
	t.Add("blob", layer.Blob.Size)
	phases.Stored(layer.Blob.Size)
	return layer, nil
}

// sealTrees makes the layer by comparing what the container is with what it
// was, and the snapshot by unpacking the layer.
func (m *Maker) sealTrees(ctx context.Context, t *phases.Operation, ctr *moby.Container, l Origin) (layer diff.Layer, err error) {
	ctx, done := t.Phase(ctx, "seal")
	defer func() { done(err) }()
	thaw := l.Pause.Begin()
	defer thaw()
	err = m.Files.WithTrees(ctx, ctr, func(before, now []mount.Mount) error {
		layer, err = tarlayer.FromTrees(ctx, m.Files.Differ, m.Files.Content, before, now)
		return err
	})
	thaw()
	if err == nil {
		err = m.unmoved(ctx, ctr, l.Stack.Made)
	}
	if err != nil {
		return diff.Layer{}, fmt.Errorf("read changes: %w", err)
	}
	if layer.Empty() {
		return layer, nil
	}
	return layer, m.apply(ctx, m.Files.Snapshots(ctr.Driver), l.Base.Config.RootFS.DiffIDs, layer)
}

// apply makes the snapshot of a layer that is stored, and keeps it: there may be
// one already.
func (m *Maker) apply(ctx context.Context, sn snapshots.Snapshotter, chain []digest.Digest, layer diff.Layer) error {
	chainID := identity.ChainID(append(chain[:len(chain):len(chain)], layer.DiffID))
	if err := m.Files.Keep(ctx, chainID.String()); err != nil {
		return err
	}
	_, err := snapshotter.Apply(ctx, sn, chain, layer, m.Blobs.Fetch, snapshotter.ChainOptions{Limit: m.Limit})
	return err
}
