package containerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/inode"
)

// DiskUsage is what the revisions of a container take on disk, in bytes. A file that
// several layers have by hard links counts once.
type DiskUsage struct {
	Revisions int
	// Size is that of all sealed layers of the container.
	Size int64
	// Shared is the part of Size that a Prune of all revisions does not give back: of
	// layers that the container or something else stands on, and files that an image or
	// another container has, too.
	Shared int64
	// Unmeasured is how many layers have an unknown size. They count nothing.
	Unmeasured int
}

// DiskUsage adds up the sealed layers of the container. The cost is the number of files
// in them.
func (h *History) DiskUsage(ctx context.Context) (_ DiskUsage, err error) {
	t, err := h.load(ctx)
	if err != nil {
		return DiskUsage{}, err
	}
	u := DiskUsage{Revisions: len(t.numbers())}
	if u.Revisions == 0 {
		return u, nil
	}
	goes, err := h.prunable(ctx, t)
	if err != nil {
		return DiskUsage{}, err
	}
	m := measured{history: h}
	defer func() { err = errors.Join(err, m.met.Close(), m.freed.shared.Close()) }()
	for name, i := range t.all {
		if _, _, _, ok := numbered(t.id, name); !ok || i.Kind != snapshots.KindCommitted {
			continue
		}
		if err := m.layer(ctx, i, goes[name]); err != nil {
			if ctx.Err() != nil {
				return DiskUsage{}, ctx.Err()
			}
			log.G(ctx).WithError(err).WithField("snapshot", name).Warn("could not measure a revision")
			u.Unmeasured++
		}
	}
	u.Size, u.Shared = m.size, max(0, m.size-m.freed.bytes)
	return u, nil
}

// prunable are the names of the snapshots that a Prune of all revisions would remove now.
func (h *History) prunable(ctx context.Context, t *tree) (map[string]bool, error) {
	if t.active == nil { // in the middle of a switch, which has to be completed before
		return nil, nil
	}
	children := map[string]int{} // also those that are not the container's
	err := h.Snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		children[i.Parent]++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what stands on revisions: %w", err)
	}
	doomed, goes := h.doomed(ctx, t, Retention{}, time.Now()), map[string]bool{}
	for again := true; again; {
		again = false
		for name, i := range t.all {
			if goes[name] || children[name] > 0 || !t.superfluous(i, doomed) {
				continue
			}
			goes[name], again = true, true
			children[i.Parent]--
		}
	}
	return goes, nil
}

// measured adds up layers.
type measured struct {
	history *History
	size    int64
	met     inode.Set // of files with several names
	freed   reclaim   // what the removal of those gives back that can go
}

func (m *measured) layer(ctx context.Context, i snapshots.Info, goes bool) error {
	folder, err := m.history.store().Folder(ctx, i)
	if errors.Is(err, diff.ErrUnsupported) { // nor are there links
		size, err := m.history.store().Usage(ctx, i.Name)
		if err == nil && goes {
			m.freed.bytes += size
		}
		m.size += size
		return err
	}
	if err != nil {
		return err
	}
	return dirtree.Tree{Root: folder, Visit: func(e *dirtree.Entry) error { return m.file(&e.Stat, e.IsDir(), goes) }}.Walk(ctx)
}

func (m *measured) file(st *unix.Stat_t, dir, goes bool) error {
	met := false
	if !dir && st.Nlink > 1 {
		var err error
		if met, err = m.met.Add(st); err != nil {
			return err
		}
	}
	if !met {
		m.size += st.Blocks * blockSize
	}
	if !goes {
		return nil
	}
	return m.freed.file(st, dir)
}

// IsSealed reports whether a snapshot is a sealed layer of a container: a revision, or
// what was merged of several.
func IsSealed(i snapshots.Info) bool {
	return i.Kind == snapshots.KindCommitted && i.Labels[label.Container] != ""
}
