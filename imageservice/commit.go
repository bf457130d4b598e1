package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/commit"
)

// CommitImage makes an image of a container's file system and returns its id,
// the digest of its manifest. With [FeatureSealCommits] a stopped container is sealed
// first.
func (s *Service) CommitImage(ctx context.Context, c moby.CommitConfig) (moby.ImageID, error) {
	var first *commit.SealFirst
	if s.sealCommits != nil && s.sealCommits() {
		first = &commit.Sparing
	}
	return s.commit(ctx, c, first)
}

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
	return s.commit(ctx, c, &commit.BuildStep)
}

func (s *Service) commit(ctx context.Context, c moby.CommitConfig, first *commit.SealFirst) (id moby.ImageID, err error) {
	ctr := s.containers.Get(c.ContainerID)
	if ctr == nil {
		err = fmt.Errorf("no such container: %w", errdefs.ErrNotFound)
	} else {
		id, err = s.commits.Commit(ctx, ctr, c, first)
	}
	if err != nil {
		return "", compat.DockerError(fmt.Errorf("commit container %s: %w", c.ContainerID, err))
	}
	return id, nil
}
