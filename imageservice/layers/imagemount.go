package layers

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

// The layer of an image mount is named after its container, whose id has no dash.
// Moby appends the image as it was asked for, so that an image could be mounted
// only once, and names with slashes made folders that stayed. Such layers of
// earlier versions and of stock are found and released like ours.
const (
	mountSeparator = "-"
	mountInfix     = mountSeparator + "mount-"
)

// isImageMount reports whether a layer is that of an image mount and not of a
// container.
func isImageMount(layer string) bool { return strings.Contains(layer, mountSeparator) }

// CreateFromImage makes a writable layer on an image, for mounting the
// image into a container. A nil image gives an empty one. It is not limited: what
// is mounted cannot be written. Of the name only the container's id is used: a
// container can mount one image several times. The layer's metadata tell its own.
func (s *Store) CreateFromImage(img *moby.Image, name string) (moby.RWLayer, error) {
	var manifest *ocispec.Descriptor
	if img != nil && img.Details != nil {
		manifest = img.Details.ManifestDescriptor
	}
	owner, _, _ := strings.Cut(name, mountSeparator)
	l, err := s.create(background(), manifest, owner+mountInfix+rand.Text(), 0, nil, nil)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("create layer %s: %w", name, err))
	}
	return l, nil
}

// releaseImageMounts gives up what images are mounted for a container, whether or
// not the daemon has come to note them.
func (s *Store) releaseImageMounts(ctx context.Context, container string) error {
	if isImageMount(container) {
		return nil
	}
	held, err := s.Files.Leases.List(ctx, fmt.Sprintf("id~=%q", "^"+container+mountSeparator))
	if err != nil {
		return fmt.Errorf("look for image mounts of container %s: %w", container, err)
	}
	for _, lease := range held {
		if err := s.releaseImageMount(ctx, lease); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) releaseImageMount(ctx context.Context, lease leases.Lease) error {
	l := s.layer(lease.ID)
	if err := l.Unmount(); err != nil {
		return err
	}
	// Moby's mounter does not tell whether it could unmount.
	mounted, err := s.Files.Mounted(l.id)
	if err != nil {
		return err
	}
	if mounted {
		return fmt.Errorf("unmount image mount %s: it is still mounted", l.id)
	}
	return s.release(ctx, l)
}
