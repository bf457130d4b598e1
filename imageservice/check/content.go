package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/bounded"
)

// images looks for images that lack a blob.
func (k *checker) images(ctx context.Context) error {
	list, err := k.Images.List(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	complete := map[digest.Digest]bool{}
	for _, img := range list {
		k.report.Looked.Images++
		if complete[img.Target.Digest] {
			continue
		}
		lacking := k.Service.Complete(ctx, img.Target)
		if lacking == nil {
			complete[img.Target.Digest] = true
			continue
		}
		if err := k.lacking(ctx, img, lacking); err != nil {
			return fmt.Errorf("image %s: %w", img.Name, err)
		}
	}
	if !k.req.Content {
		return nil
	}
	for target := range complete {
		i := slices.IndexFunc(list, func(img images.Image) bool { return img.Target.Digest == target })
		if err := k.collect(ctx, list[i].Target); err != nil {
			return fmt.Errorf("image %s: %w", list[i].Name, err)
		}
	}
	return nil
}

// lacking reports an image that lacks a blob, unless the image was removed or replaced
// meanwhile, or has the blob now.
func (k *checker) lacking(ctx context.Context, img images.Image, why error) error {
	if err := failed(ctx, why); err != nil {
		return err
	}
	now, err := k.Images.Get(ctx, img.Name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if now.Target.Digest != img.Target.Digest || !now.CreatedAt.Equal(img.CreatedAt) {
		return nil
	}
	if why = k.Service.Complete(ctx, img.Target); why == nil {
		return nil
	}
	if err := failed(ctx, why); err != nil {
		return err
	}
	if _, err := k.Images.Get(ctx, img.Name); errdefs.IsNotFound(err) {
		return nil
	}
	k.found(ctx, api.Finding{
		Kind: api.FindingBlobMissing, Object: img.Name,
		Text: fmt.Sprintf("the image is not whole: it may run, but cannot be saved or pushed: %v", why),
		Help: "pull or load an image that has what is missing, or remove the image",
	}, nil)
	return nil
}

// collect notes the blobs of an image that are there.
func (k *checker) collect(ctx context.Context, target ocispec.Descriptor) error {
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if k.blobs[desc.Digest] {
			return nil, nil
		}
		k.blobs[desc.Digest] = true
		if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
			return nil, nil
		}
		children, err := images.Children(ctx, bounded.Image.Provider(k.Content), desc)
		if errdefs.IsNotFound(err) { // of another platform
			return nil, nil
		}
		return children, err
	}), target)
}

// content reads all blobs that are needed.
func (k *checker) content(ctx context.Context) error {
	for _, dgst := range slices.Sorted(maps.Keys(k.blobs)) {
		if dgst.Validate() != nil {
			continue // what names it is a finding
		}
		if err := k.blob(ctx, dgst); err != nil {
			return fmt.Errorf("read blob %s: %w", dgst, err)
		}
	}
	return nil
}

// blob reads one blob. One that is not there is another finding, or was removed.
func (k *checker) blob(ctx context.Context, dgst digest.Digest) error {
	damaged := func(format string, args ...any) error {
		if _, err := k.Content.Info(ctx, dgst); errdefs.IsNotFound(err) {
			return nil
		}
		k.found(ctx, api.Finding{
			Kind: api.FindingBlobDamaged, Object: dgst.String(), Text: fmt.Sprintf(format, args...),
			Help: "remove the images that have it, and what was made of them; then pull or load them again, or bring containerd's data back from a backup",
		}, nil)
		return nil
	}
	reader, err := k.Content.ReaderAt(ctx, ocispec.Descriptor{Digest: dgst})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		if given := failed(ctx, err); given != nil {
			return given
		}
		return damaged("it cannot be read: %v", err)
	}
	defer reader.Close()
	hash := dgst.Algorithm().Digester()
	n, err := copyUntil(ctx, hash.Hash(), content.NewReader(reader))
	k.report.Looked.Blobs++
	k.report.Looked.Bytes += n
	if err != nil {
		if given := failed(ctx, err); given != nil {
			return given
		}
		return damaged("it cannot be read after %d bytes: %v", n, err)
	}
	if hash.Digest() != dgst {
		return damaged("its %d bytes have the digest %s", n, hash.Digest())
	}
	return nil
}

// copyUntil copies until the end, or until ctx ends.
func copyUntil(ctx context.Context, to io.Writer, from io.Reader) (n int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		some, err := io.CopyN(to, from, 8<<20)
		n += some
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
