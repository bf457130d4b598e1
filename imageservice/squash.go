package imageservice

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
)

// SquashImage refuses: `docker build --squash` of the classic builder is not
// there yet on the containerd store, as in Moby itself. The image that the
// build made stays, unsquashed.
func (s *Service) SquashImage(id, _ string) (string, error) {
	return "", compat.DockerError(fmt.Errorf("squash image %s: build without --squash: squashing is not supported with the containerd image store: %w", id, errdefs.ErrNotImplemented))
}
