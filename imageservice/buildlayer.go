package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// GetImageAndReleasableLayer returns an image and its layers for the classic
// builder to put files on (COPY and ADD). It is upstream's, but for user
// namespaces: what the builder makes has the host's ids, and a layer must have
// the image's.
func (s *Service) GetImageAndReleasableLayer(ctx context.Context, refOrID string, opts moby.GetImageAndLayerOptions) (moby.BuilderImage, moby.BuilderROLayer, error) {
	img, l, err := s.upstream.GetImageAndReleasableLayer(ctx, refOrID, opts)
	if err != nil || l == nil || s.files.IDs.Empty() {
		return img, l, err
	}
	return img, unmappedROLayer{l, s, ctx}, nil
}

type unmappedROLayer struct {
	moby.BuilderROLayer
	s   *Service
	ctx context.Context // of the build
}

func (l unmappedROLayer) NewRWLayer() (moby.BuilderRWLayer, error) {
	rw, err := l.BuilderROLayer.NewRWLayer()
	if err != nil {
		return nil, err
	}
	return unmappedRWLayer{rw, l.s, l.ctx}, nil
}

type unmappedRWLayer struct {
	moby.BuilderRWLayer
	s   *Service
	ctx context.Context // of the build
}

// Commit makes a layer of what was put on.
func (l unmappedRWLayer) Commit() (moby.BuilderROLayer, error) {
	ctx, done := l.s.files.Operations.Live(l.ctx)
	defer done()
	if err := unmapMounted(ctx, l.Root(), l.s.files.IDs); err != nil {
		return nil, err
	}
	ro, err := l.BuilderRWLayer.Commit()
	if err != nil {
		return nil, err
	}
	return unmappedROLayer{ro, l.s, l.ctx}, nil
}

// unmapMounted gives what was written on a mounted root the image's ids. An
// overlay is unmounted for that, which the layer's Commit would do next.
func unmapMounted(ctx context.Context, root string, m idmap.Map) error {
	upper, err := snapshotter.MountedUpper(root)
	if err != nil {
		return err
	}
	if upper == "" {
		upper = root
	} else if err := mount.UnmountAll(root, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", root, err)
	}
	_, err = snapshotter.UnmapUpper(ctx, upper, m)
	return err
}
