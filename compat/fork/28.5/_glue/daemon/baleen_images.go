package daemon

import (
	"cmp"
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

// keptImages is what is known of the images of revisions: for each image of
// each container a stopped container of that image, with the container's id and
// named after its first revision of it. It holds until the next operation on any
// container's revisions.
type keptImages struct {
	mu    sync.Mutex
	known bool
	list  []*container.Container
}

func (k *keptImages) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.list = false, nil
}

func (k *keptImages) get(ctx context.Context, service *imageservice.Service) ([]*container.Container, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known {
		return k.list, nil
	}
	revisions, err := service.RevisionImages(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(revisions, func(a, b imageservice.RevisionImage) int { return cmp.Compare(a.Revision, b.Revision) })
	seen := map[imageservice.RevisionImage]bool{}
	for _, r := range revisions {
		of := imageservice.RevisionImage{Container: r.Container, Image: r.Image}
		if !seen[of] {
			seen[of] = true
			k.list = append(k.list, standIn(r))
		}
	}
	k.known = true
	return k.list, nil
}

func standIn(r imageservice.RevisionImage) *container.Container {
	c := container.NewBaseContainer(r.Container, "")
	c.Name = fmt.Sprintf("revision %d", r.Revision)
	c.ImageID = r.Image
	// Not by a name, so that whichever name of the image is the last stays.
	c.Config = &containertypes.Config{Image: r.Image.String()}
	return c
}

// storeWithRevisions is the daemon's containers for Moby's image service, and a
// stopped one for each image of their revisions: so the image counts as in use.
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
	service, err := s.daemon.baleenService()
	if err != nil {
		return nil // it is being made
	}
	ctx := context.Background() // Moby asks without one
	list, err := s.daemon.baleen.images.get(ctx, service)
	if err != nil {
		log.G(ctx).WithError(err).Warn("images of revisions do not count as in use")
	}
	removed := func(c *container.Container) bool { return s.Get(c.ID) == nil }
	return slices.DeleteFunc(slices.Clone(list), removed)
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
	of := c.ID
	if known := u.daemon.containers.Get(c.ID); known != nil {
		of = bare(known)
	}
	return deleted, errdefs.Conflict(fmt.Errorf("conflict: unable to delete %s (must be forced) - image is being used by %s (%s)", ref, of, c.Name))
}
