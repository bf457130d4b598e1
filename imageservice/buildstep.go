package imageservice

import (
	"context"

	"github.com/baleen-project/baleen/compat/moby"
)

// CommitBuildStep makes the image of one step of the classic builder from the
// container that the step ran in. Unlike `docker commit` it neither asks for
// the container's state nor logs a container event.
//
// If there is much to copy, the container is sealed and its large files are linked
// into the image.
func (s *Service) CommitBuildStep(ctx context.Context, c moby.CommitConfig) (moby.ImageID, error) {
	if ctr := s.containers.Get(c.ContainerID); ctr != nil {
		c.ContainerMountLabel = ctr.MountLabel
		c.ContainerOS = ctr.ImagePlatform.OS
		c.ParentImageID = string(ctr.ImageID)
	}
	id, err := s.commit(ctx, c, s.lookSealed(step))
	return commitResult(c, id, err)
}
