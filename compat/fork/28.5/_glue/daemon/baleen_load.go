package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/log"
	mounttypes "github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"

	"github.com/baleen-project/baleen/imageservice"
)

// unusable begins the error of a container whose files cannot be used.
const unusable = "cannot load: "

// loadLayer finds the layer of a container that the daemon loads. A container whose
// files cannot be used is loaded all the same, and says why. If it was being created
// and has no layer yet it is not: [Daemon.mendInterrupted] removes it.
func (daemon *Daemon) loadLayer(c *container.Container) (container.RWLayer, error) {
	service, err := daemon.baleenService()
	if err != nil { // the images are a graph driver's
		return daemon.imageService.GetLayerByID(c.ID)
	}
	ctx := context.Background() // Moby loads containers without one
	err = daemon.useLayer(ctx, service, c)
	if errdefs.IsNotFound(err) && isBeingMade(c.Root) {
		return nil, err
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("the files of a container cannot be used; tried again when it is started")
	}
	return c.RWLayer, nil
}

// isBeingMade reports whether a container has a mark of a create or restore that
// was cut short.
func isBeingMade(root string) bool {
	for _, mark := range []string{creatingMark, restoringMark} {
		if _, err := os.Lstat(filepath.Join(root, mark)); err == nil {
			return true
		}
	}
	return false
}

// loadAgain is for a container that is about to be used, and is locked: if its files
// could not be used so far, or it may be something else than its record says, it is
// loaded again.
func (daemon *Daemon) loadAgain(ctx context.Context, c *container.Container) error {
	service, err := daemon.baleenService()
	if err != nil || !doubtful(service, c) {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // who gives up waiting does not make the files unusable
	err = daemon.useLayer(ctx, service, c)
	if saved := c.CheckpointTo(ctx, daemon.containersReplica); saved != nil {
		log.G(ctx).WithError(saved).WithField("container", c.ID).Error("failed to store container")
	}
	if err != nil {
		return errdefs.Conflict(errors.New(c.ErrorMsg)) // whatever is not found, the container is
	}
	return nil
}

func doubtful(service *imageservice.Service, c *container.Container) bool {
	if service.IsDoubtful(c.RWLayer) {
		return true
	}
	for _, m := range c.MountPoints {
		if m.Type == mounttypes.TypeImage && service.IsDoubtful(m.Layer) {
			return true
		}
	}
	return false
}

// useLayer finds the layers of a container, settles what a crash has cut short and
// makes the record say what the files are: the daemon may have ended between a switch
// and the record of it.
func (daemon *Daemon) useLayer(ctx context.Context, service *imageservice.Service, c *container.Container) error {
	layer, state, err := service.LoadLayer(ctx, c, setupInitLayer(daemon.idMapping.RootPair()))
	c.RWLayer = layer
	err = errors.Join(err, loadImageMounts(ctx, service, c))
	if err != nil {
		c.SetError(errors.New(unusable + err.Error()))
		return err
	}
	if strings.HasPrefix(c.ErrorMsg, unusable) {
		c.SetError(nil)
	}
	if state == nil {
		return nil
	}
	adopt(c, *state)
	if c.Running {
		return nil
	}
	if _, err := daemon.addVolumes(ctx, c); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("could not add the volumes of the container's image")
	}
	return nil
}

func loadImageMounts(ctx context.Context, service *imageservice.Service, c *container.Container) (err error) {
	for _, m := range c.MountPoints {
		if m.Type != mounttypes.TypeImage || m.ID == "" || m.Layer != nil && !service.IsDoubtful(m.Layer) {
			continue
		}
		layer, failure := service.LoadImageMount(ctx, m.ID)
		m.Layer = layer
		err = errors.Join(err, failure)
	}
	return err
}
