package unfinished

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
)

// Mend removes what a crash has left of creations and restores, and unmounts what it has
// left mounted. It is called at the daemon's start, when all containers have been loaded.
// What it cannot do it logs.
func (r *Cleaner) Mend(ctx context.Context) {
	r.mendMarked(ctx, creating, r.mendCreate)
	r.mendMarked(ctx, restoring, r.mendRestore)
	r.mendImages(ctx)
	for _, c := range r.Containers.List() {
		r.unmountLeft(ctx, c)
	}
}

// mendMarked mends all containers with a mark, by their folders.
func (r *Cleaner) mendMarked(ctx context.Context, mark string, mend func(ctx context.Context, root string) (removed bool, err error)) {
	marks, err := filepath.Glob(filepath.Join(r.Folder, "*", mark))
	if err != nil {
		log.G(ctx).WithError(err).WithField("mark", mark).Error("could not look for what a crash has cut short")
	}
	for _, path := range marks {
		root := filepath.Dir(path)
		logger := log.G(ctx).WithFields(log.Fields{"container": filepath.Base(root), "mark": mark})
		removed, err := mend(ctx, root)
		switch {
		case err != nil:
			logger.WithError(err).Error("could not mend a container whose creation was cut short; restart the daemon to try again")
		case removed:
			logger.Info("removed what was left of a container whose creation was cut short")
		}
	}
}

func (r *Cleaner) mendCreate(ctx context.Context, root string) (removed bool, err error) {
	c := r.Containers.Get(filepath.Base(root))
	switch {
	case c == nil:
		return true, r.dropUnloaded(ctx, root)
	case c.State.IsDead(): // it could not be created, nor removed then
		return true, r.remove(c)
	}
	return false, UnmarkCreated(root)
}

func (r *Cleaner) mendRestore(ctx context.Context, root string) (removed bool, err error) {
	c := r.Containers.Get(filepath.Base(root))
	if c == nil {
		return true, r.dropUnloaded(ctx, root)
	}
	if startedAt(c).IsZero() {
		return true, r.removeUnstarted(ctx, c)
	}
	if err := os.RemoveAll(processFolder(c)); err != nil {
		return false, err
	}
	return false, UnmarkRestored(root)
}

// mendImages removes the image records of interrupted restores.
func (r *Cleaner) mendImages(ctx context.Context) {
	if r.hasUnloaded() {
		log.G(ctx).Info("images of interrupted restores stay for now: a container that has not been loaded may use them")
		return
	}
	err := r.Layers.MendRestores(ctx, func(manifest digest.Digest) bool {
		return r.Users.First(func(c *moby.Container) bool {
			return c.ImageID == moby.ImageID(manifest) || c.ImageManifest != nil && c.ImageManifest.Digest == manifest
		}) != nil
	})
	if err != nil {
		log.G(ctx).WithError(err).Error("could not remove the images of interrupted restores; restart the daemon to try again")
	}
}

// hasUnloaded reports whether there are, or may be, containers that this daemon has not
// loaded, those of another storage driver for example.
func (r *Cleaner) hasUnloaded() bool {
	records, err := filepath.Glob(filepath.Join(r.Folder, "*", record))
	return err != nil || slices.ContainsFunc(records, func(path string) bool {
		return r.Containers.Get(filepath.Base(filepath.Dir(path))) == nil
	})
}

// unmountLeft unmounts the root of a container that the daemon was starting when it
// crashed. With live-restore Moby leaves it mounted; the root would stay mounted when
// the container is removed, and count as read until then.
func (r *Cleaner) unmountLeft(ctx context.Context, c *moby.Container) {
	c.State.Lock()
	defer c.State.Unlock()
	if c.State.Running || c.State.Paused || c.State.Restarting || c.RWLayer == nil || alive(ctx, c) {
		return
	}
	mounted, err := r.Layers.Mounted(c.ID)
	if err == nil && mounted {
		err = r.Daemon.Unmount(c)
	}
	logger := log.G(ctx).WithField("container", c.ID)
	switch {
	case err != nil:
		logger.WithError(err).Warn("could not unmount the root that an interrupted start left mounted")
	case mounted:
		logger.Info("unmounted the root that an interrupted start left mounted")
	}
}

// alive reports whether a container has processes, or may have.
func alive(ctx context.Context, c *moby.Container) bool {
	task, ok := c.State.Task()
	if !ok {
		return false
	}
	status, err := task.Status(ctx)
	if err != nil {
		return !errdefs.IsNotFound(err)
	}
	return status.Status != containerd.Stopped
}
