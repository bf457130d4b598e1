package imageservice

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
)

// CreateLayer makes the writable layer of a new container: see [layers.Store.Create].
func (s *Service) CreateLayer(ctr *moby.Container, initFunc moby.InitLayerFunc) (moby.RWLayer, error) {
	return s.CreateLayerContext(s.background(), ctr, initFunc)
}

// CreateLayerContext is CreateLayer for a request: how long it takes to unpack an
// image is the image's choice.
func (s *Service) CreateLayerContext(ctx context.Context, ctr *moby.Container, initFunc moby.InitLayerFunc) (moby.RWLayer, error) {
	l, err := s.layers.Create(ctx, ctr, initFunc, nil)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("create layer of container %s: %w", ctr.ID, err))
	}
	return l, nil
}

// CreateLayerFromImage makes a layer for mounting an image: see [layers.Store.CreateFromImage].
func (s *Service) CreateLayerFromImage(img *moby.Image, name string, _ *moby.CreateRWLayerOpts) (moby.RWLayer, error) {
	return s.layers.CreateFromImage(img, name)
}

// GetLayerByID returns the writable layer of a container that exists: see
// [layers.Store.Get].
func (s *Service) GetLayerByID(id string) (moby.RWLayer, error) { return s.layers.Get(id) }

// GetLayerMountID returns the name of the folder that a container's root is mounted on,
// below the daemon's root: the id, for an existing container.
func (s *Service) GetLayerMountID(id string) (string, error) { return s.layers.MountID(id) }

// ReleaseLayer gives up a container's layer: see [layers.Store.Release].
func (s *Service) ReleaseLayer(layer moby.RWLayer) error { return s.layers.Release(layer) }

// LoadImageMount is [layers.Store.LoadImageMount].
func (s *Service) LoadImageMount(ctx context.Context, id string) (moby.RWLayer, error) {
	return s.layers.LoadImageMount(ctx, id)
}

// IsDoubtful is [layers.Store.IsDoubtful].
func (s *Service) IsDoubtful(layer moby.RWLayer) bool { return s.layers.IsDoubtful(layer) }

// MountUnnoted is [layers.Store.MountUnnoted].
func (s *Service) MountUnnoted(layer moby.RWLayer) (string, error) {
	return s.layers.MountUnnoted(layer)
}

// DropLayer is [layers.Store.Drop].
func (s *Service) DropLayer(ctx context.Context, id string) error { return s.layers.Drop(ctx, id) }
