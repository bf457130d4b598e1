package imageservice

import (
	"context"

	"github.com/containerd/errdefs"
	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// State is Docker's side of what a container is after a [Move]. The daemon's
// record of the container is to say the same; the image's name is in Config.
type State struct {
	Config   *containertypes.Config
	ImageID  image.ID
	Manifest *ocispec.Descriptor // of the image; nil FROM scratch
	Platform ocispec.Platform
}

// State returns what a container is by its files: what the daemon's own record
// must say, also if the daemon ended before it had written it. It is nil if the
// container has never moved. A move that a crash has cut in two is completed.
func (s *Service) State(ctx context.Context, id string) (*State, error) {
	return nil, errdefs.ErrNotImplemented
}
