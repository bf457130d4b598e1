package revisions

import (
	"context"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/layers"
)

// Upstream finds an image of the daemon. Moby's image service does.
type Upstream interface {
	GetImage(ctx context.Context, refOrID string, options moby.GetImageOpts) (*moby.Image, error)
}

// Store keeps the revisions of a daemon's containers, and moves containers between them.
// All fields are needed. The methods may be called at the same time, also for one
// container; none may be called with the container locked.
type Store struct {
	Files    *files.Containers
	Layers   *layers.Store
	Upstream Upstream
}
