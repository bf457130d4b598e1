package overlay

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// change is what one caller wants to change in the records.
type change struct {
	ctx context.Context
	// apply makes the change within a transaction. It may be called again, if
	// the transaction was given up for another's sake. Failing, it leaves
	// nothing behind outside the database.
	apply func(tx context.Context) error
	// undo, if not nil, takes back what apply did outside the database.
	undo func()
	// folder says that apply names a folder. Its name must be on disk before a
	// record refers to it.
	folder bool
	done   chan error
}

// write makes one change of the records, together with those that others want
// at the same time: a transaction waits for the disk twice, however much is in
// it. Once begun it is not given up, or the caller would not know its outcome.
func (s *Snapshotter) write(ctx context.Context, c *change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.ctx, c.done = ctx, make(chan error, 1)
	s.writes.add(c)
	return <-c.done
}

// read calls f within a transaction that sees one state of the records.
func (s *Snapshotter) read(ctx context.Context, f func(tx context.Context) error) error {
	return s.meta.WithTransaction(ctx, false, f)
}

func (s *Snapshotter) transactAll(changes []*change) {
	for len(changes) > 0 {
		bad, err := s.transact(changes)
		if bad < 0 {
			for _, c := range changes {
				c.done <- err
			}
			return
		}
		changes[bad].done <- err
		changes = slices.Delete(changes, bad, bad+1)
	}
}

// transact makes all changes or none. If it is the fault of one of them, it
// returns the index of that one, otherwise -1.
func (s *Snapshotter) transact(changes []*change) (bad int, err error) {
	ctx, tx, err := s.meta.TransactionContext(context.WithoutCancel(changes[0].ctx), true)
	if err != nil {
		return -1, err
	}
	applied := 0
	defer func() {
		// A panic here would end the process, and with it all callers.
		if p := recover(); p != nil {
			bad, err = -1, fmt.Errorf("change the records: panic: %v: %w", p, errdefs.ErrInternal)
			log.G(ctx).WithField("stack", string(debug.Stack())).Error(err.Error())
			if applied < len(changes) { // it was this one's
				bad, applied = applied, applied+1
			}
		}
		if err == nil {
			return
		}
		for _, c := range slices.Backward(changes[:applied]) {
			if c.undo != nil {
				c.undo()
			}
		}
		// After a failed Commit there is nothing left to roll back.
		_ = tx.Rollback()
	}()
	for i, c := range changes {
		if err := c.apply(ctx); err != nil {
			return i, err
		}
		applied++
	}
	if err := s.settle(changes); err != nil {
		return -1, err
	}
	if err := tx.Commit(); err != nil {
		return -1, err
	}
	_ = s.at(stepRecorded) // too late to fail
	return -1, nil
}

// settle does what must be on disk before the records are.
func (s *Snapshotter) settle(changes []*change) error {
	if slices.ContainsFunc(changes, func(c *change) bool { return c.folder }) {
		if err := s.disk.syncFolders(); err != nil {
			return err
		}
	}
	return s.at(stepFolders)
}
