package daemon

import (
	"context"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// imageVerbs is the daemon's image service. The verbs of package imageservice hide
// Moby's, which are one level deeper; all others are Moby's. The lists of verbs in
// compat/fork say which are whose.
type imageVerbs struct {
	*imageservice.Service
	upstreamImages
	state baleenState
}

// upstreamImages is Moby's image service, but that its conflicts name revisions.
type upstreamImages struct {
	*mobyImages
	images *lifecycle.Images
}

// ImageDelete says which revision an image is needed for, where Moby would take it for a
// stopped container.
func (u upstreamImages) ImageDelete(ctx context.Context, ref string, options moby.ImageDeleteOption) ([]moby.ImageDeleted, error) {
	deleted, err := u.mobyImages.ImageDelete(ctx, ref, options)
	return deleted, u.images.DeleteError(ctx, ref, err, u.imageID)
}

func (u upstreamImages) imageID(ctx context.Context, ref string) (moby.ImageID, error) {
	img, err := u.ResolveImage(ctx, ref)
	return moby.ImageID(img.Target.Digest), err
}
