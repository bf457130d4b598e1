package lifecycle

import (
	"context"
	"errors"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// unusable begins the error of a container whose files cannot be used.
const unusable = "cannot load: "

// Load finds the layer of a container that the daemon loads. A container whose files
// cannot be used is loaded all the same, and its record says why. Load returns an error
// only for a container without a layer whose creation was cut short: it is for the
// daemon's start to remove.
func (o *Operations) Load(ctx context.Context, c *moby.Container) (moby.RWLayer, error) {
	err := o.useLayer(ctx, c)
	if cerrdefs.IsNotFound(err) && unfinished.IsMarked(c.Root) {
		return nil, err
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("the files of a container cannot be used; tried again when it is started")
	}
	return c.RWLayer, nil
}

// loadAgain is for a container that is about to be used, and is locked: if its files could
// not be used so far, or it may be something else than its record says, it is loaded
// again.
func (o *Operations) loadAgain(ctx context.Context, c *moby.Container) error {
	if !o.isDoubtful(c) {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // who gives up waiting does not make the files unusable
	err := o.useLayer(ctx, c)
	o.save(ctx, c)
	if err != nil { // of the class conflict: whatever is not found, the container is
		return compat.DockerError(cerrdefs.ErrConflict.WithMessage(c.State.ErrorMsg))
	}
	return nil
}

func (o *Operations) isDoubtful(c *moby.Container) bool {
	if o.files.IsDoubtful(c.RWLayer) {
		return true
	}
	for _, m := range c.MountPoints {
		if m.Type == moby.MountTypeImage && o.files.IsDoubtful(m.Layer) {
			return true
		}
	}
	return false
}

// useLayer finds the layers of a container, settles what a crash has cut short and makes
// the record say what the files are: the daemon may have ended between a switch and the
// record of it.
func (o *Operations) useLayer(ctx context.Context, c *moby.Container) error {
	layer, state, err := o.files.LoadLayer(ctx, c, o.init)
	c.RWLayer = layer
	err = errors.Join(err, o.loadImageMounts(ctx, c))
	if err != nil {
		c.State.SetError(errors.New(unusable + err.Error()))
		return err
	}
	if strings.HasPrefix(c.State.ErrorMsg, unusable) {
		c.State.SetError(nil)
	}
	if state == nil {
		return nil
	}
	o.adopt(c, *state)
	if c.State.Running {
		return nil
	}
	if state.Volumes != nil { // known: the daemon may have ended before a rollback took them off
		for _, sentence := range o.detachAdded(ctx, c, *state) {
			log.G(ctx).WithField("container", c.ID).Info(sentence)
		}
	}
	if _, err := o.addVolumes(ctx, c); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("could not add the volumes of the container's image")
	}
	return nil
}

func (o *Operations) loadImageMounts(ctx context.Context, c *moby.Container) (err error) {
	for _, m := range c.MountPoints {
		if m.Type != moby.MountTypeImage || m.ID == "" || m.Layer != nil && !o.files.IsDoubtful(m.Layer) {
			continue
		}
		layer, failure := o.files.LoadImageMount(ctx, m.ID)
		m.Layer = layer
		err = errors.Join(err, failure)
	}
	return err
}

// save writes a container's record, which is locked. A failure is only logged: the daemon
// reconciles the record with the files when it loads the container.
func (o *Operations) save(ctx context.Context, c *moby.Container) {
	if err := o.daemon.Save(context.WithoutCancel(ctx), c); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("failed to store container")
	}
}
