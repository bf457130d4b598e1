package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// State is Docker's side of what a container is after a [Move]. The daemon's
// record of the container is to say the same; the image's name is in Config.
type State struct {
	Config   *moby.ContainerConfig
	ImageID  moby.ImageID
	Manifest *ocispec.Descriptor // of the image; nil FROM scratch
	Platform ocispec.Platform
}

// State returns what a container is by its files: what the daemon's own record
// must say, also if the daemon ended before it had written it. It is nil if the
// container has never moved. A move that a crash has cut in two is completed.
func (s *Service) State(ctx context.Context, id string) (*State, error) {
	st, err := s.state(ctx, id)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("look up the state of container %s: %w", id, err))
	}
	return st, nil
}

func (s *Service) state(ctx context.Context, id string) (*State, error) {
	if err := s.settle(ctx, id); err != nil {
		return nil, err
	}
	r, err := s.readState(ctx, id)
	if errdefs.IsNotFound(err) {
		if err = s.recover(ctx, id); err == nil {
			r, err = s.readState(ctx, id)
		}
	}
	if err != nil || r == nil {
		return nil, err
	}
	st, err := stateFrom(*r)
	return &st, err
}

func (s *Service) readState(ctx context.Context, id string) (*containerstore.Record, error) {
	lock := s.locks.Of(id)
	lock.RLock()
	defer lock.RUnlock()
	return s.history(id, "").State(ctx)
}
