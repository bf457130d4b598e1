package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/imageservice/commit"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
)

// checkpointLayers bounds the layers of a checkpoint, those of the container's
// image included: engines that keep each in a folder of its own mount up to some
// 120, and a checkpoint is for them to pull, too.
const checkpointLayers = 100

// sealedLayer is a layer of what a container wrote before, in a snapshot that
// nobody writes any more.
type sealedLayer struct {
	snapshot string
	layer    diff.Layer
	fresh    bool // packed now
}

// splitSealed makes a layer of each sealed snapshot that a container stands on,
// the lowest first, or finds the one that was made before. What is left to read
// is what is active. If the stack cannot be split, nothing is, and all of it is to
// be read as one layer, as always without sealed snapshots.
func (s *Store) splitSealed(ctx context.Context, t *phases.Operation, ctr *moby.Container, l commit.Origin, o Options) (commit.Origin, []sealedLayer, error) {
	// Of what the uppers do not tell only trees can be compared: a whole.
	if l.Readable() != nil || len(l.Stack.Own) < 2 || len(l.Base.Manifest.Layers)+len(l.Stack.Own) > checkpointLayers {
		return l, nil, nil
	}
	o.Tell("packing what was sealed")
	ctx, done := t.Phase(ctx, "sealed")
	parts := l.Overlay.Split()
	live := len(parts) - 1
	below, err := s.packSealed(ctx, ctr, l.Stack.Own, parts[:live])
	done(err)
	// Then so is the whole, or one layer can hold it: what no layer can, such as a
	// name that begins with .wh., may be gone since it was sealed.
	if errors.Is(err, diff.ErrUnsupported) || errors.Is(err, diff.ErrReserved) {
		log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("keeping all layers of the container as one")
		return l, nil, nil
	}
	l.Overlay = parts[live]
	return l, below, err
}

// packSealed packs the sealed snapshots among a container's own, which are from the
// top, and the parts from the bottom.
func (s *Store) packSealed(ctx context.Context, ctr *moby.Container, own []string, parts []*changes.Container) ([]sealedLayer, error) {
	h := s.Files.History(ctr.ID, ctr.Driver)
	var packed []sealedLayer
	for i, part := range parts {
		l := sealedLayer{snapshot: own[len(own)-1-i]}
		known, err := s.packedBefore(ctx, h, &l)
		if err == nil && !known {
			l.fresh = true
			l.layer, err = s.Commits.ShipChanges(ctx, part)
		}
		if err != nil {
			return nil, fmt.Errorf("pack snapshot %s: %w", l.snapshot, err)
		}
		packed = append(packed, l)
	}
	return packed, nil
}

// packedBefore finds the layer of a sealed snapshot, if it has been packed and the
// blob is still there, and puts that under the lease.
func (s *Store) packedBefore(ctx context.Context, h *containerstore.History, l *sealedLayer) (bool, error) {
	layer, ok, err := h.Packed(ctx, l.snapshot)
	if err != nil || !ok {
		return false, err
	}
	l.layer = layer
	if layer.Empty() {
		return true, nil
	}
	if err := s.Files.Operations.KeepBlob(ctx, layer.Blob.Digest); err != nil {
		return false, err
	}
	info, err := s.Files.Content.Info(ctx, layer.Blob.Digest)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up layer %s: %w", layer.Blob.Digest, err)
	}
	return info.Size == layer.Blob.Size, nil
}

// ownLayers are a container's layers as a checkpoint has them, without those that
// change nothing. The container has just been seen to be where it was when they
// were read: only now it is certain that nobody has removed a part, and is noted
// what the sealed ones are.
func (s *Store) ownLayers(ctx context.Context, ctr *moby.Container, below []sealedLayer, top diff.Layer) []diff.Layer {
	h := s.Files.History(ctr.ID, ctr.Driver)
	var own []diff.Layer
	for _, l := range below {
		own = append(own, l.layer)
		if !l.fresh {
			continue
		}
		if err := h.NotePacked(ctx, l.snapshot, l.layer); err != nil {
			log.G(ctx).WithError(err).WithField("container", ctr.ID).Warn("the next checkpoint packs a sealed layer again")
		}
	}
	return slices.DeleteFunc(append(own, top), diff.Layer.Empty)
}

// withOwn is committed for any number of layers.
func withOwn(base baseimage.Image, platform ocispec.Platform, own []diff.Layer, c moby.CommitConfig, now time.Time) commit.Image {
	top := diff.EmptyLayer()
	if len(own) > 0 {
		top, own = own[len(own)-1], own[:len(own)-1]
	}
	// The slices are the image's: they get no room behind them to append in.
	diffIDs, layers, history := slices.Clip(base.Config.RootFS.DiffIDs), slices.Clip(base.Manifest.Layers), slices.Clip(base.Config.History)
	created := now.UTC()
	for _, l := range own {
		diffIDs, layers = append(diffIDs, l.DiffID), append(layers, l.Blob)
		history = append(history, ocispec.History{Created: &created, CreatedBy: commit.CreatedBy(c.ContainerConfig), Comment: c.Comment})
	}
	base.Config.RootFS.DiffIDs, base.Manifest.Layers, base.Config.History = diffIDs, layers, history
	return commit.Describe(base, platform, top, c, now)
}
