package clientopts

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/blob"
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// keepFiles stores what the container changed in its image as a layer, with the ids of
// the image. It is paused while that is read.
func (p *clientContainer) keepFiles(ctx context.Context, ids containerstore.IDs) (_ diff.Layer, err error) {
	watch, stop, err := p.watchTask(ctx)
	if err != nil {
		return diff.Layer{}, err
	}
	defer stop()
	thaw, err := p.pause(ctx)
	if err != nil {
		return diff.Layer{}, err
	}
	defer func() { err = errors.Join(err, thaw()) }()
	layer, err := p.readFiles(ctx, ids)
	if err == nil {
		err = p.unmoved(ctx)
	}
	if err == nil {
		err = watch.stoodStill(ctx)
	}
	return layer, err
}

// readFiles reads layers of the container's own where they lie, and compares trees where
// it has none.
func (p *clientContainer) readFiles(ctx context.Context, ids containerstore.IDs) (diff.Layer, error) {
	live, err := p.Snapshots.Mounts(ctx, p.active.Name)
	if err != nil {
		return diff.Layer{}, fmt.Errorf("look up mounts of %s: %w", p.active.Name, err)
	}
	own, err := p.ownChanges(live)
	if err == nil {
		if ids.Way == containerstore.Remapped {
			own.IDs, own.Mapped = ids.Map, len(own.Uppers)+len(own.Lowers)
		}
		layer, err := p.packChanges(ctx, own)
		if !errors.Is(err, diff.ErrUnsupported) {
			return layer, err
		}
	} else if !errors.Is(err, diff.ErrUnsupported) {
		return diff.Layer{}, err
	}
	if ids.Way == containerstore.Mounted { // the image's files have other ids than the container's
		return diff.Layer{}, fmt.Errorf("its ids are mapped when it is mounted, and its layers cannot be read: %w", errdefs.ErrNotImplemented)
	}
	return p.packTrees(ctx, live, ids)
}

// ownChanges are what the container changed in its image, if it has layers of its own;
// diff.ErrUnsupported if not.
func (p *clientContainer) ownChanges(live []mount.Mount) (*changes.Container, error) {
	o, err := changes.ParseOverlay(live, p.active.Parent != "")
	if err != nil {
		return nil, err
	}
	layers, _ := p.own(p.active)
	if len(o.Lowers) < layers-1 {
		return nil, fmt.Errorf("%w: %d lower folders for %d layers of its own", diff.ErrUnsupported, len(o.Lowers), layers)
	}
	o.Uppers, o.Lowers = append(o.Uppers, o.Lowers[:layers-1]...), o.Lowers[layers-1:]
	return &changes.Container{Overlay: o}, nil
}

// packChanges stores changes as a layer, under the lease in ctx; nothing if there are
// none.
func (p *clientContainer) packChanges(ctx context.Context, own *changes.Container) (layer diff.Layer, err error) {
	if untouched, err := own.Untouched(ctx); err != nil || untouched {
		return diff.EmptyLayer(), err
	}
	err = blob.Stream(ctx, p.Content, p.Leases, func(w io.Writer) (ocispec.Descriptor, map[string]string, error) {
		buffered := bufio.NewWriterSize(w, 1<<20) // each piece is a call to containerd
		if layer, _, err = tarlayer.PackChanges(ctx, buffered, own, tarlayer.Options{}, compress.Method{}); err == nil {
			err = buffered.Flush()
		}
		if layer.Empty() {
			return ocispec.Descriptor{}, nil, err
		}
		return layer.Blob, map[string]string{labels.LabelUncompressed: layer.DiffID.String()}, err
	})
	if err != nil {
		return diff.Layer{}, fmt.Errorf("pack its files: %w", err)
	}
	return layer, nil
}

// packTrees is packChanges for a container whose snapshot is a copy of all. If that has
// the ids of the host, another copy gets those of the image.
func (p *clientContainer) packTrees(ctx context.Context, live []mount.Mount, ids containerstore.IDs) (_ diff.Layer, err error) {
	key := p.Container + ":checkpoint-" + rand.Text() + snap.KeySuffix
	// With the label, what a crash leaves is found and removed.
	labelled := snapshots.WithLabels(map[string]string{label.Container: p.Container})
	_, base := p.own(p.active)
	if ids.Way == containerstore.Remapped {
		base, _ = remappedChain(base)
		copied, err := p.Snapshots.Prepare(ctx, key+"-copy", "", labelled)
		defer func() { err = errors.Join(err, p.Undo(ctx, key+"-copy")) }()
		if err != nil {
			return diff.Layer{}, fmt.Errorf("prepare snapshot for a copy: %w", err)
		}
		if err := snapshotter.CopyRemapped(ctx, copied, live, ids.Map.Inside); err != nil {
			return diff.Layer{}, fmt.Errorf("copy its files: %w", err)
		}
		live = copied
	}
	var below []mount.Mount
	if base != "" {
		below, err = p.Snapshots.View(ctx, key, base, labelled)
		defer func() { err = errors.Join(err, p.Undo(ctx, key)) }()
		if err != nil {
			return diff.Layer{}, fmt.Errorf("view snapshot %s: %w", base, err)
		}
	}
	return tarlayer.FromTrees(ctx, p.Differ, p.Content, below, live)
}
