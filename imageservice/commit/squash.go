package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
)

// Squash makes an image like one that exists, with the layers of parent and a single one
// more, into which all others are merged; without a parent, with a single layer. It returns
// the id of the new image.
func (m *Maker) Squash(ctx context.Context, id, parent string) (_ string, err error) {
	ctx, t, finish := phases.Begin(ctx, "squash", id)
	defer func() { finish(err) }()
	ctx, end, err := m.Files.Operations.Begin(ctx, "squash", id, false)
	if err != nil {
		return "", err
	}
	defer func() { end(err) }()
	names, err := m.Blobs.Names(ctx)
	if err != nil {
		return "", err
	}
	defer names.Close()

	img, err := m.readImage(ctx, id)
	if err != nil {
		return "", err
	}
	var base baseimage.Image
	comment := "create new from " + id
	if parent != "" {
		if base, err = m.readImage(ctx, parent); err != nil {
			return "", fmt.Errorf("read parent: %w", err)
		}
		comment = "merge " + id + " to " + parent
	}
	all, below := img.Config.RootFS.DiffIDs, base.Config.RootFS.DiffIDs
	if len(below) > len(all) || !slices.Equal(all[:len(below)], below) {
		return "", fmt.Errorf("image %s is not made of image %s: %w", id, parent, errdefs.ErrInvalidArgument)
	}
	made, err := m.merge(ctx, t, all, len(below))
	if err != nil {
		return "", err
	}
	defer made.Drop(ctx)
	squashed, err := m.publish(ctx, merged(img, base, made.Layer, comment, time.Now()), names, made.commit)
	return squashed.String(), err
}

// readImage reads an image by its id, and keeps it.
func (m *Maker) readImage(ctx context.Context, id string) (baseimage.Image, error) {
	record, err := m.Resolver.ResolveImage(ctx, id)
	if err != nil {
		return baseimage.Image{}, err
	}
	if err := m.Files.Operations.KeepBlob(ctx, record.Target.Digest); err != nil {
		return baseimage.Image{}, err
	}
	return baseimage.Read(ctx, m.Files.Content, record.Target, platforms.DefaultSpec())
}

// merge makes one layer, and its snapshot, of the layers of a chain after the
// first few.
func (m *Maker) merge(ctx context.Context, t *phases.Operation, chain []digest.Digest, below int) (Sealed, error) {
	sn := m.Files.Snapshots("")
	key := files.TemporaryKey(identity.ChainID(chain).String(), "squash")
	mounts, err := sn.View(ctx, key, identity.ChainID(chain).String())
	if err != nil {
		return Sealed{}, fmt.Errorf("view snapshot: %w", err)
	}
	defer files.RemoveTemporary(ctx, sn, key)
	c, err := stackOf(mounts, len(chain), below)
	if err == nil {
		var made Sealed
		still := func(ctx context.Context) error { _, err := remains(ctx, sn, key); return err }
		if made, err = m.sealUpper(ctx, t, source{sn: sn, changes: c, chain: chain[:below], still: still}); err == nil {
			return made, nil
		}
	}
	if !errors.Is(err, diff.ErrUnsupported) {
		return Sealed{}, err
	}
	log.G(ctx).WithError(err).Info("squashing by comparing whole trees")
	layer, err := m.mergeTrees(ctx, sn, mounts, chain[:below])
	return Sealed{Layer: layer}, err
}

// stackOf takes a view of an image for a container that consists of the layers
// after the first few, on those.
func stackOf(mounts []mount.Mount, layers, below int) (*changes.Container, error) {
	o, err := changes.ParseOverlay(mounts, layers > 1)
	if err != nil {
		return nil, err
	}
	dirs := slices.Concat(o.Uppers, o.Lowers)
	if len(dirs) != layers {
		return nil, fmt.Errorf("%w: %d folders for %d layers", diff.ErrUnsupported, len(dirs), layers)
	}
	o.Uppers, o.Lowers = dirs[:layers-below], dirs[layers-below:]
	return &changes.Container{Overlay: o}, nil
}

// mergeTrees is merge for snapshotters whose mounts tell no layers.
func (m *Maker) mergeTrees(ctx context.Context, sn snapshots.Snapshotter, image []mount.Mount, chain []digest.Digest) (diff.Layer, error) {
	parent := identity.ChainID(chain).String()
	key := files.TemporaryKey(parent, "squash")
	before, err := sn.View(ctx, key, parent)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("view snapshot of parent: %w", err)
	}
	defer files.RemoveTemporary(ctx, sn, key)
	layer, err := tarlayer.FromTrees(ctx, m.Files.Differ, m.Files.Content, before, image)
	if err != nil || layer.Empty() {
		return layer, err
	}
	return layer, m.apply(ctx, sn, chain, layer)
}

// merged describes the squashed image. As in Moby, its history tells the steps
// still, as empty ones, and the merge.
func merged(img, base baseimage.Image, layer diff.Layer, comment string, now time.Time) Image {
	now = now.UTC()
	config := img.Config
	config.Created = &now
	config.RootFS.DiffIDs = slices.Clone(base.Config.RootFS.DiffIDs)
	config.History = slices.Clone(img.Config.History)
	for i := len(base.Config.History); i < len(config.History); i++ {
		config.History[i].EmptyLayer = true
	}
	layers := compat.OCILayers(base.Manifest.Layers)
	if !layer.Empty() {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.DiffID)
		layers = append(layers, layer.Blob)
	}
	config.History = append(config.History, ocispec.History{Created: &now, Comment: comment, EmptyLayer: layer.Empty()})
	return Image{Config: config, Layers: layers}
}
