package revisions

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
)

// SnapshotOptions says how a snapshot is made.
type SnapshotOptions struct {
	Message string
	// Pause pauses a container that runs while it is read.
	Pause pause.Func
}

// Snapshot keeps a container's present state as a new revision. Of a stopped
// container no data are copied. A running one, or one whose root is mounted
// otherwise or that is being committed, is copied, and paused for that as
// [SnapshotOptions] say.
//
// It must not be called with the container locked; that holds for all methods
// that work on revisions.
func (s *Store) Snapshot(ctx context.Context, ctr *moby.Container, o SnapshotOptions) (api.Revision, error) {
	r, err := s.snapshot(ctx, ctr, o)
	if err != nil {
		return api.Revision{}, compat.DockerError(fmt.Errorf("snapshot container %s: %w", ctr.ID, err))
	}
	return revision(r), nil
}

func (s *Store) snapshot(ctx context.Context, ctr *moby.Container, o SnapshotOptions) (_ containerstore.Revision, err error) {
	end, err := s.Files.Locks.Take(ctr.ID)
	if err != nil {
		return containerstore.Revision{}, err
	}
	defer end()
	r, err := record(ctr, api.KindSnapshot, o.Message)
	if err != nil {
		return containerstore.Revision{}, err
	}
	ctx, release, err := s.Files.Operations.Begin(ctx, "snapshot", ctr.ID, o.Pause != nil)
	if err != nil {
		return containerstore.Revision{}, err
	}
	defer func() { release(err) }()

	h := s.Files.History(ctr.ID, ctr.Driver)
	if sealed, ok, err := s.sealStopped(ctx, ctr, h, r); ok || err != nil {
		return sealed, err
	}
	return h.SealLive(ctx, r, o.Pause.Begin)
}

// sealStopped seals a container that is stopped; ok is false if it is not, or if
// somebody is about to read its upper where it is.
func (s *Store) sealStopped(ctx context.Context, ctr *moby.Container, h *containerstore.History, r containerstore.Record) (sealed containerstore.Revision, ok bool, _ error) {
	err := s.Files.WhileIdle(ctx, ctr, h, func() (err error) {
		if s.Files.Locks.Readers(ctr.ID) > 0 {
			return nil
		}
		ok = true
		if sealed, err = h.Seal(ctx, r); err != nil && h.Recover(ctx) != nil {
			s.Files.SettleLater(ctx, ctr.ID)
		}
		return err
	})
	if !ok && files.InUse(err) {
		err = nil
	}
	return sealed, ok, err
}
