package imageservice

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
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

// restoredImage is the record of an image, without a name.
type restoredImage struct {
	restores int  // under way, that use it
	used     bool // one of them has ended well
}

// imageRecord finds the image of the container by its id or its manifest, and
// makes a record without a name if there is none.
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
		found, err := r.s.images.List(ctx, "target.digest=="+id.String())
		if err != nil {
			return fmt.Errorf("look for the container's image: %w", err)
		}
		if len(found) > 0 && r.readable(ctx, found[0].Target) {
			r.Image = id.String()
			r.share(id)
			return nil
		}
	}
	return r.makeRecord(ctx)
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
func (r *Restore) makeRecord(ctx context.Context) error {
	base, err := baseimage.Read(ctx, r.s.content, *r.base, r.Platform)
	if err != nil {
		return fmt.Errorf("read the container's image: %w", err)
	}
	if err := r.s.blobs.Adopt(ctx, r.base.Digest, compat.ManifestLabels(base.Manifest.Config, base.Manifest.Layers)); err != nil {
		return fmt.Errorf("keep the container's image: %w", err)
	}
	_, err = r.s.images.Create(ctx, images.Image{
		Name: compat.DanglingName(r.base.Digest), Target: *r.base, CreatedAt: time.Now(),
		Labels: map[string]string{labelRestoring: r.s.owner},
	})
	if !errdefs.IsAlreadyExists(err) {
		r.s.restored.add(r.base.Digest)
		r.share(r.base.Digest)
		if err != nil {
			return fmt.Errorf("create image %s: %w", r.base.Digest, err)
		}
	}
	r.Image = r.base.Digest.String()
	return nil
}

// add is for a record that has just been made. One that was made before and is
// gone, by somebody else, is the same one.
func (i *restoredImages) add(dgst digest.Digest) {
	if i.of == nil {
		i.of = map[digest.Digest]*restoredImage{}
	}
	if i.of[dgst] == nil {
		i.of[dgst] = &restoredImage{}
	}
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
	children, err := images.Children(ctx, bounded.Image.Provider(r.s.content), target)
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
func (s *Service) settleImage(ctx context.Context, dgst digest.Digest) error {
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	s.restored.mu.Lock()
	defer s.restored.mu.Unlock()
	of := s.restored.of[dgst]
	if of == nil || of.restores > 0 {
		return nil // the last one does it
	}
	if err := s.keepOrRemove(ctx, dgst, of.used); err != nil {
		return err
	}
	delete(s.restored.of, dgst)
	return nil
}

func (s *Service) keepOrRemove(ctx context.Context, dgst digest.Digest, keep bool) (err error) {
	name := compat.DanglingName(dgst)
	if keep {
		_, err = s.images.Update(ctx, images.Image{Name: name}, "labels."+labelRestoring)
	} else {
		err = s.images.Delete(ctx, name)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil // it may have got a name meanwhile
}

// MendRestores removes the image records that restores have made which a crash
// cut short, but for those that a container uses.
func (s *Service) MendRestores(ctx context.Context, used func(manifest digest.Digest) bool) error {
	found, err := s.images.List(ctx, fmt.Sprintf("labels.%q==%q", labelRestoring, s.owner))
	if err != nil {
		return compat.DockerError(fmt.Errorf("look for image records of interrupted restores: %w", err))
	}
	for _, record := range found {
		dgst := record.Target.Digest
		if record.Name != compat.DanglingName(dgst) {
			continue // it was given a name
		}
		if err := s.keepOrRemove(ctx, dgst, used(dgst)); err != nil {
			return compat.DockerError(fmt.Errorf("mend image record %s of an interrupted restore: %w", record.Name, err))
		}
	}
	return nil
}
