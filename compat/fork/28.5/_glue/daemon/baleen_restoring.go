package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/image"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// restoringMark is a file in a container's folder while the container is being
// restored: from before there is anything of it until it has been started. Who
// finds it at the daemon's start finds a restore that a crash has cut short.
const restoringMark = lifecycle.RestoringMark

// markRestoring marks a container of which there is nothing yet, its folder
// neither.
func markRestoring(root string) error {
	if err := markCreating(root, restoringMark); err != nil {
		return err
	}
	if err := syncFolders(root, filepath.Dir(root)); err != nil {
		return errdefs.System(fmt.Errorf("mark the container as being restored: %w", err))
	}
	return nil
}

// unmarkRestoring is for a container that is whole.
func unmarkRestoring(root string) error {
	err := os.Remove(filepath.Join(root, restoringMark))
	if err == nil {
		err = syncFolders(root)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errdefs.System(fmt.Errorf("mark the container as restored: %w", err))
	}
	return nil
}

// syncFolders has names outlast a power cut.
func syncFolders(paths ...string) error {
	for _, path := range paths {
		dir, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	return nil
}

// mendRestores removes what restores have made which a crash has cut short,
// before they had started their container. One that has been started is whole.
func (daemon *Daemon) mendRestores(ctx context.Context, s *imageservice.Service) {
	daemon.mendMarked(ctx, s, restoringMark, daemon.mendRestore)
	if daemon.unloaded() {
		log.G(ctx).Info("images of interrupted restores stay for now: a container that has not been loaded may use them")
		return
	}
	err := s.MendRestores(ctx, func(manifest digest.Digest) bool {
		return daemon.baleen.images.First(func(c *container.Container) bool {
			return c.ImageID == image.ID(manifest) || c.ImageManifest != nil && c.ImageManifest.Digest == manifest
		}) != nil
	})
	if err != nil {
		log.G(ctx).WithError(err).Error("could not remove the images of interrupted restores; restart the daemon to try again")
	}
}

// unloaded reports whether there are, or may be, containers that this daemon has not
// loaded, those of another storage driver for example.
func (daemon *Daemon) unloaded() bool {
	records, err := filepath.Glob(filepath.Join(daemon.repository, "*", "config.v2.json"))
	return err != nil || slices.ContainsFunc(records, func(record string) bool {
		return daemon.containers.Get(filepath.Base(filepath.Dir(record))) == nil
	})
}

func (daemon *Daemon) mendRestore(ctx context.Context, s *imageservice.Service, root string) (removed bool, err error) {
	id := filepath.Base(root)
	c := daemon.containers.Get(id)
	if c == nil {
		return true, dropUnloaded(ctx, s, root)
	}
	c.Lock()
	started := !c.StartedAt.IsZero()
	c.Unlock()
	if started {
		if err := os.RemoveAll(filepath.Join(c.CheckpointDir(), restoredCheckpoint)); err != nil {
			return false, err
		}
		return false, unmarkRestoring(root)
	}
	return true, daemon.removeUnstarted(ctx, s, c)
}

// dropUnloaded removes what there is of a container that the daemon has not loaded,
// because it was being made, or removed. One that is whole but for its loading stays.
func dropUnloaded(ctx context.Context, s *imageservice.Service, root string) error {
	id := filepath.Base(root)
	recorded, err := recordedHere(s, root)
	if err != nil {
		return err
	}
	if _, err := s.GetLayerByID(id); recorded && !errdefs.IsNotFound(err) {
		return errors.New("the container has not been loaded")
	}
	if err := s.DropLayer(ctx, id); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// recordedHere reports whether a folder has the record of the container that it is
// called by. An error are one whose layer this daemon would not find anyway, of
// another storage driver or in a folder that is a copy, and one that has been
// started: that is whole, whatever is missing now, such as containerd's disk.
func recordedHere(s *imageservice.Service, root string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(root, "config.v2.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var record struct {
		ID, Driver string
		State      struct{ StartedAt time.Time }
	}
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil {
		return false, fmt.Errorf("read the container's record: %w", err)
	}
	if record.ID != filepath.Base(root) || record.Driver != s.StorageDriver() {
		return false, fmt.Errorf("it is container %s with storage driver %s: it stays", record.ID, record.Driver)
	}
	if !record.State.StartedAt.IsZero() {
		return false, errors.New("it has been started, and could not be loaded: it stays")
	}
	return true, nil
}

// removeUnstarted removes a restored container whose start was cut short, by the
// end of this daemon or of containerd, with all that is left of the start.
func (daemon *Daemon) removeUnstarted(ctx context.Context, s *imageservice.Service, c *container.Container) error {
	if err := c.RestoreTask(ctx, daemon.containerd); err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("ask containerd for the container: %w", err)
	}
	if err := endUnnoted(ctx, c); err != nil {
		return err
	}
	daemon.unmountLeft(ctx, c, s)
	return daemon.removeRestored(c)
}

// takeBack removes the container of a restore that has failed, nil if there is
// none yet, and returns why it has. While containerd is away it goes on trying.
func (daemon *Daemon) takeBack(ctx context.Context, c *container.Container, failure error) error {
	if c == nil || daemon.gone(c) {
		return failure
	}
	ctx = context.WithoutCancel(ctx)
	if errors.Is(failure, errPanicked) {
		// It may be locked for good. If it is, its mark has the next start remove it.
		go func() {
			var err error
			defer errorOfPanic(ctx, &err)
			if err = daemon.removeRestored(c); err != nil {
				log.G(ctx).WithError(err).WithField("container", c.ID).Error("could not remove a container that could not be restored; it is removed at the next start")
			}
		}()
		return failure
	}
	service, err := daemon.baleenService()
	if err != nil || c.IsRunning() {
		return errors.Join(failure, err, daemon.removeRestored(c))
	}
	if err := daemon.removeUnstarted(ctx, service, c); err != nil {
		go daemon.removeLater(ctx, service, c)
		return errors.Join(failure, fmt.Errorf("the container could not be removed yet: %w", err))
	}
	return failure
}

// gone reports whether nothing is left of a container that was being restored, as
// when it could not be created.
func (daemon *Daemon) gone(c *container.Container) bool {
	_, err := os.Lstat(filepath.Join(c.Root, restoringMark))
	return errors.Is(err, fs.ErrNotExist) && daemon.containers.Get(c.ID) == nil
}

// removeRestored removes a container that did not come up. One that was created
// with --rm may be on its way out already; one that could not be created is not
// among the daemon's.
func (daemon *Daemon) removeRestored(c *container.Container) error {
	remove := &backend.ContainerRmConfig{ForceRemove: true, RemoveVolume: true}
	if daemon.containers.Get(c.ID) == nil {
		return daemon.cleanupContainer(c, *remove)
	}
	err := daemon.ContainerRm(c.ID, remove)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// removeLater removes a restored container that did not come up, while containerd
// may be starting again. After the last try the mark of the container is still
// there, for the next start.
func (daemon *Daemon) removeLater(ctx context.Context, s *imageservice.Service, c *container.Container) {
	logger := log.G(ctx).WithField("container", c.ID)
	startedAt := func() time.Time {
		c.Lock()
		defer c.Unlock()
		return c.StartedAt
	}
	var err error
	failed := startedAt()
	for wait := 250 * time.Millisecond; wait < time.Minute; wait *= 2 {
		time.Sleep(wait)
		if c.IsRunning() || startedAt() != failed {
			return // somebody has started it: it is theirs
		}
		if err = daemon.removeUnstarted(ctx, s, c); err == nil || daemon.gone(c) {
			logger.Info("removed a container that could not be restored")
			return
		}
	}
	logger.WithError(err).Error("gave up removing a container that could not be restored; it is removed at the next start")
}

// endUnnoted ends the processes of a container that the daemon did not come to
// note as started, and removes it from containerd.
func endUnnoted(ctx context.Context, c *container.Container) error {
	c.Lock()
	defer c.Unlock()
	if task, ok := c.State.Task(); ok {
		if err := task.ForceDelete(ctx); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("end the processes: %w", err)
		}
	}
	if known, ok := c.C8dContainer(); ok {
		if err := known.Delete(ctx); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("remove the container from containerd: %w", err)
		}
	}
	return nil
}
