package clientopts

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
)

// RollbackOpt is an option of WithRollback.
type RollbackOpt func(*rollback)

// ToRevision chooses the revision by its number, an earlier or a later one;
// [Revisions] lists them. One that there is not is errdefs.ErrNotFound.
func ToRevision(number int) RollbackOpt {
	return func(r *rollback) { r.to, r.chosen = number, true }
}

type rollback struct {
	to     int
	chosen bool
}

// WithRollback moves a container back to a revision, with its files, image name
// and spec: to the one that its present state was made from, or to that of
// [ToRevision]. After an upgrade that is the state before; after a rollback it
// is the revision that it went to, as that is. If there is none the error is
// [ErrNoPreviousRevision].
//
// What the container is on becomes a revision too, so nothing is lost. No files
// are copied. Nothing changes before the record is written. If the program dies before
// that, the next upgrade or rollback after a minute removes what was made; [Discard] does
// so at once. For the rest it is as [WithUpgrade].
func WithRollback(opts ...RollbackOpt) client.UpdateContainerOpts {
	return func(ctx context.Context, cl *client.Client, c *containers.Container) (err error) {
		defer func() {
			if err != nil {
				err = fmt.Errorf("rollback container %s: %w", c.ID, err)
			}
		}()
		ctx, end, err := operation(ctx, cl, kindRollback, c.ID)
		if err != nil {
			return err
		}
		defer func() { end(err) }()
		p, release, err := openContainer(ctx, cl, c)
		if err != nil {
			return err
		}
		defer release()
		var r rollback
		for _, o := range opts {
			o(&r)
		}
		return p.rollback(ctx, r)
	}
}

func (p *clientContainer) rollback(ctx context.Context, o rollback) error {
	ids, err := p.lookUpIDs(ctx)
	if err != nil {
		return err
	}
	target, err := p.target(o)
	if err != nil {
		return err
	}
	s := step{previous: number(target)}
	if s.to, err = containerstore.ReadRecord(ctx, p.Content, target); err != nil {
		return err
	}
	if s.spec, err = configSpec(s.to.Config); err != nil {
		return fmt.Errorf("read the spec of revision %d: %w", number(target), err)
	}
	if err := sameIDs(ids, &s.spec); err != nil {
		return fmt.Errorf("revision %d: %w", number(target), err)
	}
	s.to.Kind, s.to.Config = kindRollback, nil
	if s.parent, err = p.standOn(ctx, target); err != nil {
		return err
	}
	s.fill = func(_ context.Context, into []mount.Mount) error { return snap.KeepRoot(into) }
	return p.move(ctx, s)
}

// target finds the revision to go to.
func (p *clientContainer) target(o rollback) (snapshots.Info, error) {
	n := o.to
	if !o.chosen {
		n, _ = strconv.Atoi(p.active.Labels[label.Previous]) // 0 if there is none
		if n == 0 {
			return snapshots.Info{}, containerstore.ErrNoPreviousRevision
		}
	}
	if o.chosen && n == p.current() {
		return snapshots.Info{}, fmt.Errorf("it is on revision %d: %w", n, errdefs.ErrInvalidArgument)
	}
	target, ok := p.find(n)
	if ok {
		return target, nil
	}
	if !o.chosen {
		return target, fmt.Errorf("revision %d has been removed: %w", n, containerstore.ErrNoPreviousRevision)
	}
	return target, fmt.Errorf("revision %d: %w", n, errdefs.ErrNotFound)
}

// standOn returns the snapshot to stand on for a revision: its own, or if that
// has too many layers of the container's, one that is made of them.
func (p *clientContainer) standOn(ctx context.Context, target snapshots.Info) (string, error) {
	layers, base := p.own(target)
	if layers < snap.MaxLayers {
		return target.Name, nil
	}
	name := p.Container + ":m" + strconv.Itoa(number(target))
	if i, ok := p.all[name]; ok && i.Kind == snapshots.KindCommitted {
		return name, nil
	}
	err := p.Merge(ctx, name, target, base, layers)
	if errors.Is(err, diff.ErrUnsupported) {
		return target.Name, nil // no stack of folders, which knows no limit
	}
	return name, err
}
