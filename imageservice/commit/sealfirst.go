package commit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
	"github.com/baleen-project/baleen/snapshotter"
)

// linkFrom is from which size on, in bytes, a sealed file is linked into an
// image instead of copied. Programs that mind how many names a file has mind it
// of small ones (cron of its tables, logrotate, mail spools), and to copy those
// costs hardly more than to link them.
const linkFrom = 1 << 20

// SealFirst says when a container that is stopped is sealed before its commit, so
// that its large files can be linked into the image.
type SealFirst struct {
	worth int64 // so many bytes there have to be to link
	looks int   // so many changes are looked at for that
	// goesOn says that the container is not thrown away: what it wrote must be on
	// disk before its folder is moved, and it must not gather layers.
	goesOn bool
}

var (
	// BuildStep is for steps of the classic builder, and for speed: sealing takes ten
	// calls of containerd. On ext4, from the end of a step to its image took an
	// eighth less with 130 MB, and a third less with 300 MB; with 66 MB it took
	// longer.
	BuildStep = SealFirst{worth: 128 << 20, looks: 4096}
	// Sparing is for `docker commit` with FeatureSealCommits of package imageservice, and
	// for the disk: so it begins earlier. What is less than this is not worth a layer of the
	// container's, of which each makes the next opening of a file slower, and a
	// copy of the file when it is next written.
	Sparing = SealFirst{worth: 16 << 20, looks: math.MaxInt, goesOn: true}
)

// sparingLayers is how many layers a container has at most above its last revision
// that is sealed by its commits. They hold what it has overwritten since, so they
// are merged earlier than revisions, which were asked for.
const sparingLayers = 16

// lookSealed is look for a container that may be sealed. If it wrote much that
// could only be copied otherwise, that is sealed first, so that the image can
// share it. If it runs, is read by others or cannot be sealed, it is copied; and if
// its ids are those of a copy of the image, for the files have other owners.
//
// `docker commit` does that only if the daemon is told to, for its container goes
// on: see FeatureSealCommits of package imageservice. The container of a build step is
// thrown away, which leaves the image's files with one name.
func (m *Maker) lookSealed(when SealFirst) lookFunc {
	return func(ctx context.Context, t *phases.Operation, ctr *moby.Container) (Origin, error) {
		l, err := m.Look(ctx, t, ctr)
		if err != nil || l.unreadable != nil {
			return l, err
		}
		if ctr.IsRunning() { // others are found out below, at the cost of looking twice
			return l, nil
		}
		if l.Stack.IDs.Way == containerstore.Remapped || !when.holds(ctx, l.Overlay) {
			return l, nil
		}
		sctx, done := t.Phase(ctx, "seal layer")
		err = m.sealLayer(sctx, ctr, when.goesOn)
		done(err)
		if err != nil {
			log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("the files of a container are copied by its commit: it could not be sealed")
		}
		return m.Look(ctx, t, ctr)
	}
}

// sealLayer seals a container that is stopped, and that nobody else moves or reads.
func (m *Maker) sealLayer(ctx context.Context, ctr *moby.Container, goesOn bool) error {
	end, err := m.Files.Locks.Take(ctr.ID)
	if err != nil {
		return err
	}
	defer end()
	h := m.Files.History(ctr.ID, ctr.Driver)
	if goesOn {
		h.MaxSealed = sparingLayers
	}
	return m.Files.WhileIdle(ctx, ctr, h, func() error {
		if m.Files.Locks.Readers(ctr.ID) > 1 { // besides this commit
			return fmt.Errorf("another commit or diff of it is under way: %w", errdefs.ErrConflict)
		}
		err := h.SealLayer(ctx, goesOn)
		if err != nil {
			m.Files.SettleLater(ctx, ctr.ID)
		}
		return err
	})
}

var errEnough = errors.New("enough was seen")

// holds reports whether a container has much to link that is not sealed.
func (w SealFirst) holds(ctx context.Context, o *changes.Container) bool {
	if links, err := snapshotter.Links(o, o.Uppers[0]); err != nil || !links {
		return false // the commit says what is wrong
	}
	var bytes int64
	looks := 0
	_, err := o.Walk(ctx, func(c *changes.Change) error {
		if c.Layer() == 0 && c.Type() == unix.S_IFREG && c.Stat.Size >= linkFrom {
			plain, err := c.Plain()
			if err != nil {
				return err
			}
			if plain {
				bytes += min(c.Stat.Size, c.Stat.Blocks*512) // of a sparse one only the data
			}
		}
		if looks++; bytes >= w.worth || looks == w.looks {
			return errEnough
		}
		return nil
	})
	return bytes >= w.worth && errors.Is(err, errEnough)
}
