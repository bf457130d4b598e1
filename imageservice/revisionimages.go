package imageservice

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/docker/docker/image"

	"github.com/baleen-project/baleen/compat"
)

// RevisionImage says that a revision of a container is of an image.
type RevisionImage struct {
	Container string // id
	Revision  int
	Image     image.ID
}

// RevisionImages lists the images of all revisions of all containers, in one
// call to containerd.
func (s *Service) RevisionImages(ctx context.Context) ([]RevisionImage, error) {
	var list []RevisionImage
	err := s.snapshots("").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		id, number, ok := strings.Cut(i.Name, ".r")
		if n, err := strconv.Atoi(number); ok && err == nil {
			list = append(list, RevisionImage{Container: id, Revision: n, Image: image.ID(i.Labels[revisionImageLabel])})
		}
		return nil
	}, fmt.Sprintf("labels.%q", revisionImageLabel))
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("list images of revisions: %w", err))
	}
	return list, nil
}

// revisionImageLabel is, on a revision's snapshot, the digest of its image.
const revisionImageLabel = "docker.com/revision.image"
