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
// Large files of the container are linked into the image, not copied.
func (s *Service) CommitBuildStep(ctx context.Context, c backend.CommitConfig) (image.ID, error) {
	if ctr := s.containers.Get(c.ContainerID); ctr != nil {
		c.ContainerMountLabel = ctr.MountLabel
		c.ContainerOS = ctr.ImagePlatform.OS
		c.ParentImageID = string(ctr.ImageID)
		if err := s.sealStep(ctx, ctr); err != nil {
			log.G(ctx).WithError(err).WithField("container", ctr.ID).Warn("could not seal the container of a build step; its files are copied")
		}
	}
	return s.CommitImage(ctx, c)
}

const (
	// linkFrom is from which size on, in bytes, a sealed file is linked into an
	// image instead of copied. Programs that mind how many names a file has mind it
	// of small ones (cron of its tables, logrotate, mail spools), and to copy those
	// costs hardly more than to link them.
	linkFrom = 1 << 20
	// sealWorth is how many bytes there have to be to link for a container to be
	// sealed before its commit. To seal one takes some 40 ms, about what it takes
	// to copy so much.
	sealWorth = 64 << 20
	// sealLooks is how many changes are looked at for that.
	sealLooks = 4096
)

// sealStep seals what a build step wrote, if it is much and could only be copied
// otherwise, so that the image can share its files.
//
// `docker commit` does not do that, although it could, for its container goes on.
// On top of a sealed layer it could no longer rename a directory that it made
// (EXDEV), and the first write to each large file would copy it, which costs at
// a worse moment what the commit saves. Moby's own dockerd would take what is on
// top for all that the container ever wrote. And its files, like the image's,
// would count several names. The container of a build step is thrown away, which
// leaves the image's files with one. Whoever wants it for another container takes
// a snapshot of that before.
func (s *Service) sealStep(ctx context.Context, ctr *container.Container) (err error) {
	end, err := s.turns.take(ctr.ID)
	if err != nil {
		return nil // its user is about to move it, or has it sealed
	}
	defer end()
	worth, err := s.worthSealing(ctx, ctr)
	if err != nil || !worth {
		return err
	}
	ctx, release, err := s.lease(ctx, "seal", ctr.ID)
	if err != nil {
		return err
	}
	defer func() { release(err) }()
	turn := s.turns.get(ctr.ID)
	turn.Lock()
	defer turn.Unlock()
	if s.unused(ctr.ID) != nil {
		return nil // somebody has started it
	}
	if err := s.history(ctr.ID, ctr.Driver).SealLayer(ctx); err != nil {
		s.settleLater(ctx, ctr.ID)
		return fmt.Errorf("seal container %s: %w", ctr.ID, err)
	}
	return nil
}

var errEnough = errors.New("enough was seen")

// worthSealing reports whether a container has much to link that is not sealed.
func (s *Service) worthSealing(ctx context.Context, ctr *container.Container) (bool, error) {
	defer s.turns.read(ctr.ID)()
	o, _, err := s.overlay(ctx, ctr)
	if errors.Is(err, diff.ErrUnsupported) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var bytes int64
	looks := 0
	_, err = o.Walk(ctx, func(c *diff.Change) error {
		if c.Layer() == 0 && c.Type() == unix.S_IFREG && c.Stat.Size >= linkFrom {
			bytes += c.Stat.Size
		}
		if looks++; bytes >= sealWorth || looks == sealLooks {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		if errdefs.IsConflict(err) || errors.Is(err, diff.ErrUnsupported) {
			return false, nil // for the commit to say
		}
		return false, err
	}
	if bytes < sealWorth {
		return false, nil
	}
	clones, err := snapshotter.Clones(o.Uppers[0])
	return !clones, err
}
