package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// labelRestoring is on the record of an image that a restore has made for its
// container, until a restore has ended well; its value is the daemon's id. At the
// start of a daemon none is under way: a record with it that no container uses
// goes.
const labelRestoring = "io.baleen.restoring"

// restoredImages are the records that restores under way have made, by the
// manifest's digest. All who make, find, keep and remove one do so under mu.
type restoredImages struct {
	mu sync.Mutex
	of map[digest.Digest]*restoredImage
}

// restoredImage is the record of an image that a restore has made.
type restoredImage struct {
	name     string // of the record
	restores int    // under way, that use it
	used     bool   // one of them has ended well
}

// restoredRepository is the registry of images that came with a checkpoint alone. There is
// none of that name, and never will be (RFC 2606): nobody pulls or pushes such an image by
// mistake. Daemons built before gave them the name of a user of Docker's registry.
const (
	restoredRepository    = "baleen-restored.invalid/"
	oldRestoredRepository = "docker.io/baleen-restored/"
)

// restoredName names the image of a container that a checkpoint has brought, after the name
// that the container had for it: baleen-restored.invalid/app:1-0123456789ab. It never is the
// name of another image, whatever the checkpoint says.
func restoredName(image string, dgst digest.Digest) string {
	const most = 100 // bytes of path and of tag each; a name may have 255, and a tag 128
	path, tag := "image", dgst.Encoded()[:12]
	if named, err := reference.ParseNormalizedNamed(image); err == nil {
		if p := strings.TrimPrefix(reference.Path(named), "library/"); len(p) <= most {
			path = p
		}
		if tagged, ok := named.(reference.Tagged); ok && len(tagged.Tag()) <= most {
			tag = tagged.Tag() + "-" + tag
		}
	}
	return restoredRepository + path + ":" + tag
}

// imageRecord finds the image of the container by its id or its manifest, and
// makes a record of it if there is none.
func (r *Restore) imageRecord(ctx context.Context, described checkpoint.Container) error {
	if r.base == nil {
		return nil
	}
	r.s.restored.mu.Lock()
	defer r.s.restored.mu.Unlock()
	for _, id := range []digest.Digest{described.ImageID, r.base.Digest} {
		if id == "" {
			continue
		}
		found, err := r.s.Images.List(ctx, "target.digest=="+id.String())
		if err != nil {
			return fmt.Errorf("look for the container's image: %w", err)
		}
		if len(found) > 0 && r.readable(ctx, found[0].Target) {
			r.Image = id.String()
			r.share(id)
			return nil
		}
	}
	return r.makeRecord(ctx, described.Image)
}

// share has the record, if a restore under way has made it, stay until this one
// ends.
func (r *Restore) share(id digest.Digest) {
	if of := r.s.restored.of[id]; of != nil {
		of.restores++
		r.shared = id
	}
}

// makeRecord makes the record. Also if that fails it may be there, for End to
// remove: containerd can fail after it has made it.
func (r *Restore) makeRecord(ctx context.Context, image string) error {
	base, err := baseimage.Read(ctx, r.s.Files.Content, *r.base, r.Platform)
	if err != nil {
		return fmt.Errorf("read the container's image: %w", err)
	}
	if err := r.s.Blobs.Adopt(ctx, r.base.Digest, compat.ManifestLabels(base.Manifest.Config, base.Manifest.Layers)); err != nil {
		return fmt.Errorf("keep the container's image: %w", err)
	}
	r.Image = r.base.Digest.String()
	// The first name can be taken, by another image too. The second is that of this image.
	for _, name := range []string{restoredName(image, r.base.Digest), compat.DanglingName(r.base.Digest)} {
		_, err = r.s.Images.Create(ctx, images.Image{
			Name: name, Target: *r.base, CreatedAt: time.Now(), Labels: map[string]string{labelRestoring: r.s.Owner},
		})
		if errdefs.IsAlreadyExists(err) {
			continue
		}
		r.s.restored.add(r.base.Digest, name)
		r.share(r.base.Digest)
		if err != nil {
			return fmt.Errorf("create image %s: %w", name, err)
		}
		return nil
	}
	return nil
}

// add is for a record that has just been made. One that was made before and is
// gone, by somebody else, is the same one.
func (i *restoredImages) add(dgst digest.Digest, name string) {
	if i.of == nil {
		i.of = map[digest.Digest]*restoredImage{}
	}
	if i.of[dgst] == nil {
		i.of[dgst] = &restoredImage{}
	}
	i.of[dgst].name = name
}

// leave ends one restore's use of a record.
func (i *restoredImages) leave(dgst digest.Digest, used bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	of := i.of[dgst]
	of.restores--
	of.used = of.used || used
}

// readable reports whether the manifest of the container's image is what the
// daemon would find under a record.
func (r *Restore) readable(ctx context.Context, target ocispec.Descriptor) bool {
	if target.Digest == r.base.Digest {
		return true
	}
	children, err := images.Children(ctx, bounded.Image.Provider(r.s.Files.Content), target)
	if err != nil {
		return false
	}
	for _, c := range children {
		if c.Digest == r.base.Digest {
			return true
		}
	}
	return false
}

// endImage ends a restore's use of a record. Only the last one removes it, and
// only if none that used it has ended well.
func (r *Restore) endImage(ctx context.Context, failure error) {
	if r.shared == "" {
		return
	}
	r.s.restored.leave(r.shared, failure == nil)
	settle := func(ctx context.Context) error { return r.s.settleImage(ctx, r.shared) }
	logger := log.G(ctx).WithField("image", r.shared)
	if err := settle(ctx); err != nil {
		logger.WithError(err).Warn("could not mend the image record of a restore; trying again")
		go func() {
			if err := lease.Retry(ctx, settle); err != nil {
				logger.WithError(err).Error("gave up mending the image record of a restore; it is mended at the next start")
			}
		}()
	}
}

// settleImage removes a record that no restore uses or has used, and takes the
// mark off one that has been.
func (s *Store) settleImage(ctx context.Context, dgst digest.Digest) error {
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	s.restored.mu.Lock()
	defer s.restored.mu.Unlock()
	of := s.restored.of[dgst]
	if of == nil || of.restores > 0 {
		return nil // the last one does it
	}
	if err := s.keepOrRemove(ctx, of.name, dgst, of.used); err != nil {
		return err
	}
	delete(s.restored.of, dgst)
	return nil
}

// keepOrRemove takes the mark off the record of an image, or removes it. A name that means
// another image meanwhile is somebody else's.
func (s *Store) keepOrRemove(ctx context.Context, name string, dgst digest.Digest, keep bool) error {
	record, err := s.Images.Get(ctx, name)
	switch {
	case err == nil && record.Target.Digest != dgst:
		return nil
	case err == nil && keep:
		_, err = s.Images.Update(ctx, images.Image{Name: name}, "labels."+labelRestoring)
	case err == nil:
		err = s.Images.Delete(ctx, name, images.DeleteTarget(&record.Target))
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil // it may have got a name meanwhile
}

// MendRestores removes the image records that restores have made which a crash
// cut short, but for those that a container uses.
func (s *Store) MendRestores(ctx context.Context, used func(manifest digest.Digest) bool) error {
	found, err := s.Images.List(ctx, fmt.Sprintf("labels.%q==%q", labelRestoring, s.Owner))
	if err != nil {
		return compat.DockerError(fmt.Errorf("look for image records of interrupted restores: %w", err))
	}
	for _, record := range found {
		dgst := record.Target.Digest
		ours := record.Name == compat.DanglingName(dgst) || strings.HasPrefix(record.Name, restoredRepository) || strings.HasPrefix(record.Name, oldRestoredRepository)
		if !ours {
			continue // it was given a name
		}
		if err := s.keepOrRemove(ctx, record.Name, dgst, used(dgst)); err != nil {
			return compat.DockerError(fmt.Errorf("mend image record %s of an interrupted restore: %w", record.Name, err))
		}
	}
	return nil
}
