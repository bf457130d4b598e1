package imageservice

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/container"
	"github.com/docker/docker/image"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/snapshotter"
)

// CommitBuildStep makes the image of one step of the classic builder from the
// container that the step ran in. Unlike `docker commit` it neither asks for
// the container's state nor logs a container event.
//
// If there is much to copy, the container is sealed and its large files are linked
// into the image.
func (s *Service) CommitBuildStep(ctx context.Context, c backend.CommitConfig) (image.ID, error) {
	if ctr := s.containers.Get(c.ContainerID); ctr != nil {
		c.ContainerMountLabel = ctr.MountLabel
		c.ContainerOS = ctr.ImagePlatform.OS
		c.ParentImageID = string(ctr.ImageID)
	}
	id, err := s.commit(ctx, c, s.lookSealed)
	return commitResult(c, id, err)
}

const (
	// linkFrom is from which size on, in bytes, a sealed file is linked into an
	// image instead of copied. Programs that mind how many names a file has mind it
	// of small ones (cron of its tables, logrotate, mail spools), and to copy those
	// costs hardly more than to link them.
	linkFrom = 1 << 20
	// sealWorth is how many bytes there have to be to link for a container to be
	// sealed before its commit: that takes ten calls of containerd. On ext4, from
	// the end of a step to its image took an eighth less with 130 MB, and a third
	// less with 300 MB; with 66 MB it took longer.
	sealWorth = 128 << 20
	// sealLooks is how many changes are looked at for that.
	sealLooks = 4096
)

// lookSealed is look for the container of a build step. If it wrote much that could
// only be copied otherwise, that is sealed first, so that the image can share it.
//
// `docker commit` does not do that, although it could, for its container goes on.
// On top of a sealed layer it could no longer rename a directory that it made
// (EXDEV), and the first write to each large file would copy it, which costs at
// a worse moment what the commit saves. Moby's own dockerd would take what is on
// top for all that the container ever wrote. And its files, like the image's,
// would count several names. The container of a build step is thrown away, which
// leaves the image's files with one. Whoever wants it for another container takes
// a snapshot of that before.
func (s *Service) lookSealed(ctx context.Context, t *timing, ctr *container.Container) (looked, error) {
	l, err := s.look(ctx, t, ctr)
	if err != nil || l.unreadable != nil || !worthSealing(ctx, l.overlay) {
		return l, err
	}
	sctx, done := t.phase(ctx, "seal layer")
	err = s.sealStep(sctx, ctr)
	done(err)
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("the files of a build step are copied: it could not be sealed")
	}
	return s.look(ctx, t, ctr)
}

// sealStep seals a container that is stopped, and that nobody else moves or reads.
func (s *Service) sealStep(ctx context.Context, ctr *container.Container) error {
	end, err := s.turns.take(ctr.ID)
	if err != nil {
		return err
	}
	defer end()
	turn := s.turns.get(ctr.ID)
	turn.Lock()
	defer turn.Unlock()
	if err := s.unused(ctr.ID); err != nil {
		return err
	}
	if s.turns.reading(ctr.ID) > 1 { // besides this commit
		return fmt.Errorf("another commit or diff of it is under way: %w", errdefs.ErrConflict)
	}
	if err := s.history(ctr.ID, ctr.Driver).SealLayer(ctx, false); err != nil {
		s.settleLater(ctx, ctr.ID)
		return err
	}
	return nil
}

var errEnough = errors.New("enough was seen")

// worthSealing reports whether a container has much to link that is not sealed.
func worthSealing(ctx context.Context, o *diff.Container) bool {
	var bytes int64
	looks := 0
	_, err := o.Walk(ctx, func(c *diff.Change) error {
		if c.Layer() == 0 && c.Type() == unix.S_IFREG && c.Stat.Size >= linkFrom {
			bytes += c.Stat.Size
		}
		if looks++; bytes >= sealWorth || looks == sealLooks {
			return errEnough
		}
		return nil
	})
	if bytes < sealWorth || !errors.Is(err, errEnough) { // the commit says what is wrong
		return false
	}
	clones, err := snapshotter.Clones(o.Uppers[0])
	return err == nil && !clones
}
