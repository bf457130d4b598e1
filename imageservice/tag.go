package imageservice

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
)

// putTries is how often [PutImage] begins again after somebody has removed the
// record that it was about to update.
const putTries = 5

// PutImage makes the record of an image, or has the record of that name stand for
// the image from now on: in one step, so that the name is never missing. The image
// that the name stood for before keeps a record: if it has no other name, it is
// dangling, from before the name leaves it.
//
// Two calls on one store must not run at the same time, nor may a caller remove the
// new image's dangling record while another call runs: each would take what the
// other counts on for the last record of an image. Others, such as `docker rmi`,
// may remove records meanwhile.
func PutImage(ctx context.Context, store images.Store, img images.Image) error {
	for range putTries {
		_, err := store.Create(ctx, img)
		if !errdefs.IsAlreadyExists(err) {
			return err
		}
		// Nothing is cut off between the steps that follow.
		if err = replaceImage(context.WithoutCancel(ctx), store, img); !errdefs.IsNotFound(err) {
			return err
		}
	}
	return fmt.Errorf("image %s is removed again and again meanwhile: %w", img.Name, errdefs.ErrConflict)
}

// replaceImage is [PutImage] for a name that has a record. If it has none any more,
// that is errdefs.ErrNotFound.
func replaceImage(ctx context.Context, store images.Store, img images.Image) error {
	old, err := store.Get(ctx, img.Name)
	if err != nil {
		return err
	}
	if old.Target.Digest == img.Target.Digest {
		return nil
	}
	kept, err := keepDangling(ctx, store, old)
	if err != nil {
		return fmt.Errorf("keep the image that %s stands for: %w", img.Name, err)
	}
	_, err = store.Update(ctx, img)
	if err == nil || !kept {
		return err
	}
	// The update may have been made even so: then the record is needed.
	now, lookErr := store.Get(ctx, img.Name)
	if errdefs.IsNotFound(lookErr) || lookErr == nil && now.Target.Digest == old.Target.Digest {
		_ = store.Delete(ctx, compat.DanglingName(old.Target.Digest)) // it goes with the name, too
	}
	return err
}

// keepDangling makes a dangling record of an image whose only record is old, as
// Moby does: with its labels, but for those that are names. It reports whether it
// has made one.
func keepDangling(ctx context.Context, store images.Store, old images.Image) (bool, error) {
	all, err := store.List(ctx, "target.digest=="+old.Target.Digest.String())
	if err != nil {
		return false, err
	}
	for _, other := range all {
		if other.Name != old.Name {
			return false, nil
		}
	}
	old.Name, old.Labels = compat.DanglingName(old.Target.Digest), maps.Clone(old.Labels)
	delete(old.Labels, images.AnnotationImageName)
	delete(old.Labels, ocispec.AnnotationRefName)
	_, err = store.Create(ctx, old)
	if errdefs.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, err
}
