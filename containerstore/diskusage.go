package containerstore

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// DiskUsage is what the revisions of a container take on disk, in bytes.
type DiskUsage struct {
	Revisions int
	// Size is that of all sealed layers of the container.
	Size int64
	// Shared is the part of Size that the container stands on: no Prune gives it back.
	Shared int64
	// Unmeasured is how many layers have an unknown size. They count nothing.
	Unmeasured int
}

// DiskUsage adds up the sealed layers of the container. A file that several layers share
// by hard links counts in each.
func (h *History) DiskUsage(ctx context.Context) (DiskUsage, error) {
	t, err := h.load(ctx)
	if err != nil {
		return DiskUsage{}, err
	}
	u := DiskUsage{Revisions: len(t.numbers())}
	for name, i := range t.all {
		if _, _, suffix, ok := numbered(t.id, name); !ok || suffix != "" || i.Kind != snapshots.KindCommitted {
			continue
		}
		size := h.store().Measured(ctx, i)
		if size < 0 {
			u.Unmeasured++
			continue
		}
		u.Size += size
		if t.inStack(name) {
			u.Shared += size
		}
	}
	return u, ctx.Err()
}

// IsSealed reports whether a snapshot is a sealed layer of a container: a revision, or
// what was merged of several.
func IsSealed(i snapshots.Info) bool {
	return i.Kind == snapshots.KindCommitted && i.Labels[label.Container] != ""
}
