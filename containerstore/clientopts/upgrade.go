package clientopts

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/snapshotter"
)

// UpgradeOpt is an option of WithUpgrade.
type UpgradeOpt func(*upgrade)

// WithPolicy has a function decide who wins at a path that the container and
// the new image both changed, which is as in [changes.Change]. Without it the
// container does. If any is to fail, the upgrade does, with a
// [*merge.ConflictError].
//
// Only where the changes of a container are in layers of their own is it known
// what is a conflict. On other snapshotters, native for one, the upgrade fails
// with errdefs.ErrNotImplemented.
func WithPolicy(decide func(path string) merge.Policy) UpgradeOpt {
	return func(u *upgrade) { u.decide = decide }
}

// WithReport has a function told every conflict, and how it was decided; see
// [WithPolicy] for where that is possible.
func WithReport(report func(merge.Conflict)) UpgradeOpt {
	return func(u *upgrade) { u.report = report }
}

// WithKeep has files and directories stay as the container has them, whatever the new
// image has there; see [merge.Changes]'s Keep. The paths are absolute. One that the
// container does not have is errdefs.ErrInvalidArgument. See [WithPolicy] for where that
// is possible.
func WithKeep(paths ...string) UpgradeOpt {
	return func(u *upgrade) {
		for _, p := range paths {
			u.keep = append(u.keep, strings.TrimPrefix(path.Join("/", p), "/"))
		}
	}
}

type upgrade struct {
	*clientContainer
	image  client.Image
	decide func(path string) merge.Policy
	report func(merge.Conflict)
	keep   []string
	ids    containerstore.IDs
}

// WithUpgrade moves a container to another image, and what it changed along. It
// must have no task. What it is on becomes a revision to go back to with
// [WithRollback]; the container then has a new snapshot on the new image. The
// image is unpacked if it is not yet.
//
// Where the container's changes are in layers of their own, as on overlayfs,
// they are merged as [merge.Changes] says: what the container did not change
// follows the new image. Elsewhere the container's files are compared with the
// old image's and the differences applied to the new image's; then the
// container wins wherever it changed anything.
//
// Of the spec's process, arguments, environment, working directory and user
// follow the new image if they are what the old one says, and stay if they are
// not. Options after this one can set others. All else of the spec stays, and so
// do labels and extensions of the container.
//
// Nothing of the container changes before container.Update writes its record,
// and then all of it does. If that fails after this option succeeded, the next
// upgrade or rollback removes what was made, but not within a minute; [Discard]
// does so at once. A second upgrade or rollback at the same time is
// errdefs.ErrConflict.
//
// The container need not have been made with [WithNewSnapshot]. If it has a user
// namespace, its files keep the ids that they have: those that the layers get when they
// are mounted (the labels of [snapshotter.MappedLabels]), or those of a copy of the
// image, of which the new image gets one as [WithRemappedSnapshot] says. Where the ids
// were given in the container's own snapshot, or the snapshotter does not map them as
// the labels say, the error is errdefs.ErrNotImplemented.
func WithUpgrade(image client.Image, opts ...UpgradeOpt) client.UpdateContainerOpts {
	return func(ctx context.Context, cl *client.Client, c *containers.Container) (err error) {
		defer func() {
			if err != nil {
				err = fmt.Errorf("upgrade container %s to %s: %w", c.ID, image.Name(), err)
			}
		}()
		ctx, end, err := operation(ctx, cl, kindUpgrade, c.ID)
		if err != nil {
			return err
		}
		defer func() { end(err) }()
		p, release, err := openContainer(ctx, cl, c)
		if err != nil {
			return err
		}
		defer release()
		u := &upgrade{clientContainer: p, image: image}
		for _, o := range opts {
			o(u)
		}
		return u.run(ctx)
	}
}

func (u *upgrade) run(ctx context.Context) error {
	var err error
	if u.ids, err = u.lookUpIDs(ctx); err != nil {
		return err
	}
	chain, to, err := u.unpacked(ctx, u.image)
	if err == nil {
		chain, err = u.onIDs(ctx, chain, u.ids)
	}
	if err != nil {
		return err
	}
	to.Kind = kindUpgrade
	return u.move(ctx, step{
		parent: chain, previous: u.current(), to: to,
		fill: func(ctx context.Context, into []mount.Mount) error {
			return u.fill(ctx, into, chain)
		},
		adapt: u.adapt,
	})
}

// fill moves the container's changes to the new image.
func (u *upgrade) fill(ctx context.Context, into []mount.Mount, chain string) error {
	from, err := u.Snapshots.Mounts(ctx, u.active.Name)
	if err != nil {
		return fmt.Errorf("look up mounts of %s: %w", u.active.Name, err)
	}
	layers, base := u.own(u.active)
	err = u.mergeLayers(ctx, from, layers, u.active.Parent != "", into, chain != "")
	if !errors.Is(err, diff.ErrUnsupported) {
		return err
	}
	if u.decide != nil || u.report != nil || u.keep != nil {
		return fmt.Errorf("conflicts can be told only where changes are in layers of their own: %w: %w", err, errdefs.ErrNotImplemented)
	}
	return u.CopyTrees(ctx, base, from, into)
}

func (u *upgrade) mergeLayers(ctx context.Context, from []mount.Mount, layers int, hasParent bool, into []mount.Mount, hasImage bool) error {
	own, err := changes.ParseOverlay(from, hasParent)
	if err != nil {
		return err
	}
	to, err := changes.ParseOverlay(into, hasImage)
	if err != nil {
		return err
	}
	if len(own.Lowers) < layers-1 {
		return fmt.Errorf("%w: %d lower folders for %d layers of its own", diff.ErrUnsupported, len(own.Lowers), layers)
	}
	own.Uppers, own.Lowers = append(own.Uppers, own.Lowers[:layers-1]...), own.Lowers[layers-1:]
	merge := &merge.Changes{Container: &changes.Container{Overlay: own, Whole: true}, New: to.Lowers, Decide: u.decide, Report: u.report, Keep: u.keep, Mounts: mountTargets(u.record.Spec)}
	return snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
		stats, err := snapshotter.SealWhole(ctx, merge, to.Uppers[0])
		if err == nil && u.ids.Way == containerstore.Mounted {
			err = snapshotter.RemapWritten(ctx, into, u.ids.Map.Outside)
		}
		return stats, err
	})
}
