package containerstore

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/inode"
)

// reclaim is what the removal of snapshots gives back. Sealed ones share files by
// hard links, and a file is there until its last name is gone. The files
// themselves go later: containerd collects them.
type reclaim struct {
	bytes int64
	// shared are the files with names elsewhere. Of each it has the bytes, and two
	// halves: how many names there are, and how many of them are removed.
	shared inode.Table
}

// measure counts a snapshot, and keeps what it counted so far if that fails.
func (r *reclaim) measure(ctx context.Context, h *History, i snapshots.Info) error {
	folder, err := h.store().Folder(ctx, i)
	if errors.Is(err, diff.ErrUnsupported) { // nor are there links
		r.bytes += max(h.store().Measured(ctx, i), 0)
		return nil
	}
	if err != nil {
		return err
	}
	return dirtree.Tree{Root: folder, Visit: func(e *dirtree.Entry) error {
		return r.file(&e.Stat, e.IsDir())
	}}.Walk(ctx)
}

// blockSize is the unit of st_blocks, stat(2).
const blockSize = 512

func (r *reclaim) file(st *unix.Stat_t, dir bool) error {
	if dir || st.Nlink == 1 {
		r.bytes += st.Blocks * blockSize
		return nil
	}
	return r.share(inode.Of(st), inode.Value{uint64(st.Blocks * blockSize), uint64(st.Nlink)<<32 | 1}) //nolint:gosec,unconvert // it takes no less than nothing; the width of Nlink is the architecture's
}

func (r *reclaim) share(id inode.ID, file inode.Value) error {
	const gone = 1<<32 - 1
	known, err := r.shared.Get(id)
	if err != nil {
		return err
	}
	file[1] += known[1] & gone
	if file[1]&gone < file[1]>>32 {
		return r.shared.Set(id, file)
	}
	r.bytes += int64(file[0]) //nolint:gosec // see file
	return r.shared.Set(id, inode.Value{})
}

// add counts what another one did.
func (r *reclaim) add(more *reclaim) error {
	r.bytes += more.bytes
	return more.shared.Each(r.share)
}
