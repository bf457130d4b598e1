package clientopts

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// lock claims the container: it makes an empty snapshot, which only one can. A
// claim that was not renewed in time is given up by its maker; the next one has
// another name, so that nobody can take the place of one that is being removed.
// Whoever has a claim looks for others again, in settleAll.
func (p *clientContainer) lock(ctx context.Context) (release func(), err error) {
	if err := p.loadAll(ctx); err != nil {
		return nil, err
	}
	if err := p.unclaimed(); err != nil {
		return nil, err
	}
	n := 1
	for _, i := range p.all {
		old, _ := strconv.Atoi(i.Labels[label.Claim]) // 0 if it is none
		n = max(n, old+1)
	}
	name := p.claimName(n)
	_, err = p.Snapshots.Prepare(ctx, name, "", snapshots.WithLabels(map[string]string{
		label.Container: p.Container, label.Claim: strconv.Itoa(n), label.Unwritten: claimUntil(),
	}))
	if errdefs.IsAlreadyExists(err) {
		return nil, errMoving
	}
	if err != nil {
		return nil, fmt.Errorf("prepare snapshot %s: %w", name, err)
	}
	p.claim = name
	stop := p.hold(ctx, name, label.Unwritten)
	return func() {
		stop()
		if err := p.Undo(ctx, name); err != nil {
			if err = p.Undo(ctx, name); err != nil {
				log.G(ctx).WithError(err).WithField("container", p.Container).Warn("could not remove the claim on a container; it ends within a minute")
			}
		}
	}, nil
}

var errMoving = fmt.Errorf("another upgrade or rollback is under way, or was given up less than %v ago: %w", claimTime, errdefs.ErrConflict)

// unclaimed makes sure that nobody else is moving the container, or about to
// write its record.
func (p *clientContainer) unclaimed() error {
	for _, i := range p.all {
		mark := i.Labels[label.Unwritten]
		if i.Name == p.record.SnapshotKey || i.Name == p.claim || mark == "" || mark == unwrittenAtBirth {
			continue
		}
		until, err := time.Parse(time.RFC3339Nano, mark)
		if err == nil && time.Now().Before(until) {
			return errMoving
		}
	}
	return nil
}

// settleAll ends what earlier moves left. With force, also one whose maker may
// still be about to write it.
func (p *clientContainer) settleAll(ctx context.Context, force bool) error {
	if !force {
		if err := p.unclaimed(); err != nil {
			return err
		}
	}
	// What the container has left is not sealed while it has a task: that may have
	// begun on it, just before the record was written.
	busy := p.NoTask(ctx)
	if busy != nil && !errdefs.IsFailedPrecondition(busy) {
		return busy
	}
	for _, i := range maps.Clone(p.all) {
		if busy != nil || !isExchanged(i) {
			continue
		}
		if err := p.endSeal(ctx, i); err != nil {
			return fmt.Errorf("end sealing %s: %w", i.Name, err)
		}
	}
	for _, i := range maps.Clone(p.all) {
		if err := p.settleOne(ctx, i, busy == nil); err != nil {
			return err
		}
	}
	for _, i := range p.all {
		if i.Labels[label.HostIDs] == "" || isExchanged(i) || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := p.Unmap(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *clientContainer) settleOne(ctx context.Context, i snapshots.Info, seal bool) error {
	switch {
	case i.Name == p.active.Name, i.Name == p.claim, i.Kind == snapshots.KindCommitted:
		return nil
	case i.Labels[label.Unwritten] != "" || i.Labels[label.Number] == "":
		delete(p.all, i.Name)
		return p.Remove(ctx, i.Name)
	case !seal:
		return nil
	}
	return p.sealLeft(ctx, i)
}

// sealLeft seals a revision that the container has left.
func (p *clientContainer) sealLeft(ctx context.Context, i snapshots.Info) error {
	name := p.sealedName(number(i))
	if err := p.Seal(ctx, i, name, i.Labels, snap.Intent{}, i.Labels[label.Record] != ""); err != nil {
		return fmt.Errorf("seal snapshot %s as %s: %w", i.Name, name, err)
	}
	sealed, err := p.Snapshots.Stat(ctx, name)
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", name, err)
	}
	p.all[name] = sealed
	if isExchanged(sealed) {
		return p.endSeal(ctx, sealed)
	}
	delete(p.all, i.Name)
	return nil
}

// endSeal ends an exchange of folders, which may have been cut: whichever of the
// two snapshots has nothing goes.
func (p *clientContainer) endSeal(ctx context.Context, sealed snapshots.Info) error {
	for _, left := range p.all {
		if number(left) != number(sealed) || left.Kind != snapshots.KindActive {
			continue
		}
		live, err := p.Upper(ctx, left)
		if err != nil {
			return err
		}
		exchanged, err := isMarked(live, sealed)
		if err != nil {
			return err
		}
		empty := left
		if !exchanged {
			empty = sealed
			if err := p.mustBeEmpty(ctx, sealed); err != nil {
				return err
			}
		}
		delete(p.all, empty.Name)
		if err := p.Remove(ctx, empty.Name); err != nil || !exchanged {
			return err
		}
		break
	}
	p.all[sealed.Name] = sealed
	return p.EndIntent(ctx, sealed)
}

// isExchanged reports whether the folder of a sealed snapshot is being exchanged. One
// whose intent cannot be read is none to go to either.
func isExchanged(i snapshots.Info) bool {
	in, err := snap.IntentOf(i.Labels)
	return i.Kind == snapshots.KindCommitted && (err != nil || in.Exchanges())
}

// isMarked reports whether a folder is the empty one of the exchange for a sealed snapshot.
func isMarked(folder string, sealed snapshots.Info) (bool, error) {
	in, err := snap.IntentOf(sealed.Labels)
	if err != nil {
		return false, fmt.Errorf("snapshot %s: %w", sealed.Name, err)
	}
	return snap.Marked(folder, in.Mark)
}

func (p *clientContainer) mustBeEmpty(ctx context.Context, i snapshots.Info) error {
	folder, err := p.Folder(ctx, i)
	if err != nil {
		return err
	}
	empty, err := isMarked(folder, i)
	if err == nil && !empty {
		err = fmt.Errorf("neither it nor what it is made of is empty: %w", errdefs.ErrDataLoss)
	}
	return err
}
