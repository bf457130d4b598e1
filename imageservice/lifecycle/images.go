package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// Images are the daemon's containers for its image service, and a stopped one for each
// image of their revisions: so the image counts as in use. A stopped one has the id of the
// container and is named after the container's first revision of the image.
type Images struct {
	moby.ContainerStore

	mu       sync.Mutex
	history  History // nil until Use
	known    bool    // whether list holds
	standIns []*moby.Container
}

// NewImages returns the images of some containers, without their revisions.
func NewImages(containers moby.ContainerStore) *Images { return &Images{ContainerStore: containers} }

// Use has the revisions count. It is separate because the image service, which knows
// them, is made with the Images.
func (i *Images) Use(h History) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.history = h
}

// List returns all containers.
func (i *Images) List() []*moby.Container {
	return append(i.ContainerStore.List(), i.revisions()...)
}

// First returns a container that a filter accepts, the daemon's own before others; nil if
// there is none.
func (i *Images) First(filter moby.ContainerFilter) *moby.Container {
	if c := i.ContainerStore.First(filter); c != nil {
		return c
	}
	revisions := i.revisions()
	if n := slices.IndexFunc(revisions, filter); n >= 0 {
		return revisions[n]
	}
	return nil
}

// ApplyAll calls reduce with every container.
func (i *Images) ApplyAll(reduce moby.ContainerReducer) {
	i.ContainerStore.ApplyAll(reduce)
	for _, c := range i.revisions() {
		reduce(c)
	}
}

// forget has what is known read again: an operation has changed it, or may.
func (i *Images) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known, i.standIns = false, nil
}

func (i *Images) revisions() []*moby.Container {
	ctx := context.Background() // the daemon's store has none
	list, err := i.read(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Warn("images of revisions do not count as in use")
	}
	removed := func(c *moby.Container) bool { return i.Get(c.ID) == nil }
	return slices.DeleteFunc(slices.Clone(list), removed)
}

// read returns the stopped containers. They hold until the next operation on any
// container's revisions.
func (i *Images) read(ctx context.Context) ([]*moby.Container, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known || i.history == nil {
		return i.standIns, nil
	}
	list, err := i.history.RevisionImages(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b revisions.Image) int { return cmp.Compare(a.Revision, b.Revision) })
	seen := map[revisions.Image]bool{}
	for _, r := range list {
		of := revisions.Image{Container: r.Container, Image: r.Image}
		if !seen[of] {
			seen[of] = true
			i.standIns = append(i.standIns, standIn(r))
		}
	}
	i.known = true
	return i.standIns, nil
}

func standIn(r revisions.Image) *moby.Container {
	c := moby.NewContainer(r.Container, "")
	c.Name = fmt.Sprintf("revision %d", r.Revision)
	c.ImageID = r.Image
	// Not by a name, so that whichever name of the image is the last stays.
	c.Config = &moby.ContainerConfig{Image: r.Image.String()}
	return c
}

// DeleteError returns the error for an image that could not be deleted because of err. If
// a revision needs the image the error names that, where the daemon's names a stopped
// container. resolve finds the image that ref means.
func (i *Images) DeleteError(ctx context.Context, ref string, err error, resolve func(ctx context.Context, ref string) (moby.ImageID, error)) error {
	if !cerrdefs.IsConflict(err) {
		return err
	}
	id, failure := resolve(ctx, ref)
	if failure != nil {
		return err
	}
	uses := func(c *moby.Container) bool { return c.ImageID == id }
	if i.ContainerStore.First(uses) != nil {
		return err
	}
	c := i.First(uses) //nolint:contextcheck // the daemon's store has none
	if c == nil {
		return err
	}
	of := c.ID
	if known := i.Get(c.ID); known != nil {
		of = bare(known)
	}
	return conflict("conflict: unable to delete %s (must be forced) - image is being used by %s (%s)", ref, of, c.Name)
}
