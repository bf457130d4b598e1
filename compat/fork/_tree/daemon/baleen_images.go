package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/log"
	containertypes "github.com/docker/docker/api/types/container"
	imagetypes "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/container"
	ctrd "github.com/docker/docker/daemon/containerd"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/image"

	"github.com/baleen-project/baleen/imageservice"
)

// keptImages is what is known of the images of revisions. It holds until the
// next operation on any container's revisions.
type keptImages struct {
	mu    sync.Mutex
	known bool
	list  []imageservice.RevisionImage
}

func (k *keptImages) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.list = false, nil
}

func (k *keptImages) get(find func() ([]imageservice.RevisionImage, error)) ([]imageservice.RevisionImage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.known {
		list, err := find()
		if err != nil {
			return nil, err
		}
		k.known, k.list = true, list
	}
	return k.list, nil
}

// storeWithRevisions is the daemon's containers for Moby's image service, and
// for each revision of them a stopped container of the revision's image: so the
// image counts as in use.
type storeWithRevisions struct {
	container.Store
	daemon *Daemon
}

func (s storeWithRevisions) List() []*container.Container {
	return append(s.Store.List(), s.revisions()...)
}

func (s storeWithRevisions) First(filter container.StoreFilter) *container.Container {
	if c := s.Store.First(filter); c != nil {
		return c
	}
	revisions := s.revisions()
	if i := slices.IndexFunc(revisions, filter); i >= 0 {
		return revisions[i]
	}
	return nil
}

func (s storeWithRevisions) ApplyAll(reduce container.StoreReducer) {
	s.Store.ApplyAll(reduce)
	for _, c := range s.revisions() {
		reduce(c)
	}
}

func (s storeWithRevisions) revisions() []*container.Container {
	kept := s.daemon.keptImages(context.TODO())
	list := make([]*container.Container, 0, len(kept))
	for _, r := range kept {
		of := s.Get(r.Container)
		if of == nil {
			continue // removed
		}
		c := container.NewBaseContainer(r.Container, "")
		c.Name = revisionName(of, r.Revision)
		c.ImageID = r.Image
		// Without a name, so that whichever name of the image is the last stays.
		c.Config = &containertypes.Config{Image: r.Image.String()}
		c.ImagePlatform = of.ImagePlatform
		list = append(list, c)
	}
	return list
}

func (daemon *Daemon) keptImages(ctx context.Context) []imageservice.RevisionImage {
	service, err := daemon.baleenService()
	if err != nil {
		return nil
	}
	list, err := daemon.baleen.images.get(func() ([]imageservice.RevisionImage, error) {
		return service.RevisionImages(ctx)
	})
	if err != nil {
		log.G(ctx).WithError(err).Warn("images of revisions do not count as in use")
	}
	return list
}

func revisionName(of *container.Container, number int) string {
	return fmt.Sprintf("%s (revision %d)", bare(of), number)
}

// upstreamImages is Moby's image service, but that its conflicts name revisions.
type upstreamImages struct {
	*ctrd.ImageService
	daemon *Daemon
}

// ImageDelete says which revision an image is needed for, where Moby would take
// it for a stopped container.
func (u upstreamImages) ImageDelete(ctx context.Context, ref string, options imagetypes.RemoveOptions) ([]imagetypes.DeleteResponse, error) {
	deleted, err := u.ImageService.ImageDelete(ctx, ref, options)
	if !errdefs.IsConflict(err) {
		return deleted, err
	}
	img, err2 := u.ResolveImage(ctx, ref)
	if err2 != nil {
		return deleted, err
	}
	uses := func(c *container.Container) bool { return c.ImageID == image.ID(img.Target.Digest) }
	if u.daemon.containers.First(uses) != nil {
		return deleted, err
	}
	c := storeWithRevisions{u.daemon.containers, u.daemon}.First(uses)
	if c == nil {
		return deleted, err
	}
	return deleted, errdefs.Conflict(fmt.Errorf("conflict: unable to delete %s (must be forced) - image is being used by %s", ref, c.Name))
}
