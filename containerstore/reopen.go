package containerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/diff"
)

// Reopen is for a container that a daemon finds when it starts. One that has moved
// gets another active snapshot if the folder of its own is missing. A power cut
// leaves that of a move just before: containerd has written down that there is the
// snapshot, and the file system not. There was nothing in it then: to sync a file
// in a folder brings the folder to disk.
func (h *History) Reopen(ctx context.Context) error {
	active, err := h.Snapshots.Stat(ctx, h.Container)
	if errdefs.IsNotFound(err) || err == nil && active.Labels[labelContainer] == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", h.Container, err)
	}
	missing, err := h.missingFolder(ctx, active)
	if err != nil || !missing {
		return err
	}
	if err := h.Idle(ctx); errdefs.IsFailedPrecondition(err) {
		// Then it is not lost, but not to be seen from here.
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("the folder of the container's snapshot is not where it should be")
		return nil
	}
	log.G(ctx).WithField("container", h.Container).Warn("the empty folder of the container's snapshot was lost, as in a power cut; making it again")
	return h.restack(ctx, active, active.Parent)
}

// missingFolder reports whether an active snapshot has no folder where it should
// have one. If what it stands on cannot be seen either, it is not known: a disk is
// not mounted, or containerd sees other folders than this process.
func (h *History) missingFolder(ctx context.Context, active snapshots.Info) (bool, error) {
	o, err := h.overlay(ctx, active)
	if errors.Is(err, diff.ErrUnsupported) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err = os.Lstat(o.Uppers[0]); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, below := range o.Lowers {
		if _, err := os.Lstat(below); err != nil {
			return false, fmt.Errorf("neither the folder of snapshot %s is there nor one that it stands on: is a disk not mounted?: %w", h.Container, err)
		}
	}
	return true, nil
}
