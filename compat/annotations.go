package compat

import (
	"context"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WithoutIDMaps has a pull's handler of images take the annotations from layers
// that ask for a mapping of ids. containerd's unpacker makes labels of snapshots
// of all annotations that begin as those do, and its overlay snapshotter obeys:
// an image could choose who owns its root directory. Other annotations stay,
// which remote snapshotters need.
func WithoutIDMaps(wrap func(images.Handler) images.Handler) func(images.Handler) images.Handler {
	return func(h images.Handler) images.Handler {
		return wrap(images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			children, err := h.Handle(ctx, desc)
			children = slices.Clone(children)
			for i := range children {
				children[i].Annotations = withoutIDMaps(children[i].Annotations)
			}
			return children, err
		}))
	}
}

func withoutIDMaps(annotations map[string]string) map[string]string {
	rest := maps.Clone(annotations)
	delete(rest, snapshots.LabelSnapshotUIDMapping)
	delete(rest, snapshots.LabelSnapshotGIDMapping)
	return rest
}
