package files

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// NoteInterrupted notes the containers whose moves a crash has cut short. They
// are recovered when Moby asks for their layers: others on the same containerd
// are not ours.
func (c *Containers) NoteInterrupted(ctx context.Context) {
	ids, err := containerstore.Interrupted(ctx, c.Snapshots(""))
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not look for interrupted moves of containers")
	}
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	c.cut.ids = ids
}

// Reopen mends what a power cut has left of a container's snapshots.
func (c *Containers) Reopen(ctx context.Context, id string, how containerstore.Remake) error {
	lock := c.Locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	operation := "reopen-" + rand.Text() // it mounts what it makes again
	c.Operations.Note(operation, id)
	defer c.Operations.Forget(operation)
	return c.History(id, "").Reopen(ctx, how)
}

// Settle completes or takes back what a crash has cut short of a container's
// moves.
func (c *Containers) Settle(ctx context.Context, id string) error {
	if !c.IsCut(id) {
		return nil
	}
	err := c.RecoverCut(ctx, id)
	if errors.Is(err, containerstore.ErrLeft) {
		// It can be used. It still counts as cut, and whoever uses it tries again.
		log.G(ctx).WithError(err).WithField("container", id).Warn("settled an interrupted move of the container, but for what it has left")
		return nil
	}
	if err != nil {
		return err
	}
	c.Settled(id)
	log.G(ctx).WithField("container", id).Info("settled an interrupted move of the container")
	return nil
}

func (c *Containers) IsCut(id string) bool {
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	return slices.Contains(c.cut.ids, id)
}

// NoteCut notes that a container is to be loaded again before it is used.
func (c *Containers) NoteCut(id string) {
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	if !slices.Contains(c.cut.ids, id) {
		c.cut.ids = append(c.cut.ids, id)
	}
}

// Settled notes that nothing is left undone of a container's moves.
func (c *Containers) Settled(id string) {
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	c.cut.ids = slices.DeleteFunc(c.cut.ids, func(other string) bool { return other == id })
}

// SettleLater goes on trying to settle a container's moves. What it does not get
// done the next start or move of the container does, or the next start of the
// daemon. Whichever comes first also looks what the container is then: until it has,
// the daemon's record may say something else than the files are.
func (c *Containers) SettleLater(ctx context.Context, id string) {
	c.NoteCut(id)
	go func() {
		if err := lease.Retry(ctx, func(ctx context.Context) error { return c.RecoverCut(ctx, id) }); err != nil {
			log.G(ctx).WithError(err).WithField("container", id).Error("gave up settling a move of the container; its next start or move, or the next start of the daemon, tries again")
		}
	}()
}

// RecoverCut completes what was cut short of a container's moves, unless that has
// been done meanwhile.
func (c *Containers) RecoverCut(ctx context.Context, id string) error {
	lock := c.Locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	// A move that has begun meanwhile has settled it, and what it prepares is
	// not to be taken back.
	if !c.IsCut(id) {
		return nil
	}
	return c.History(id, "").Recover(ctx)
}

// Recover is settle for a container of which something is missing.
func (c *Containers) Recover(ctx context.Context, id string) error {
	lock := c.Locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	err := c.History(id, "").Recover(ctx)
	if errors.Is(err, containerstore.ErrLeft) {
		c.SettleLater(ctx, id)
		return nil
	}
	return err
}
