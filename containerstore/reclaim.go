package containerstore

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// reclaim is what the removal of snapshots gives back. Sealed ones share files by
// hard links, and a file is there until its last name is gone. The files
// themselves go later: containerd collects them.
type reclaim struct {
	bytes  int64
	shared map[inode]shared // files with names elsewhere
}

type inode struct{ dev, ino uint64 }

type shared struct {
	bytes       int64
	names, gone uint64 // of all names, those that are removed
}

// reclaimed measures a snapshot.
func (h *History) reclaimed(ctx context.Context, i snapshots.Info) (reclaim, error) {
	folder, err := h.folder(ctx, i)
	if errors.Is(err, diff.ErrUnsupported) { // nor are there links
		return reclaim{bytes: max(h.measured(ctx, i), 0)}, nil
	}
	if err != nil {
		return reclaim{}, err
	}
	r := reclaim{shared: map[inode]shared{}}
	err = diff.Tree{Root: folder, Visit: func(e *diff.TreeEntry) error {
		r.file(&e.Stat, e.IsDir())
		return nil
	}}.Walk(ctx)
	return r, err
}

func (r *reclaim) file(st *unix.Stat_t, dir bool) {
	const block = 512 // st_blocks is in these, stat(2)
	if dir || st.Nlink == 1 {
		r.bytes += st.Blocks * block
		return
	}
	r.share(inode{st.Dev, st.Ino}, shared{st.Blocks * block, uint64(st.Nlink), 1}) //nolint:unconvert // 32 bits wide on arm64
}

func (r *reclaim) share(id inode, file shared) {
	file.gone += r.shared[id].gone
	if file.gone < file.names {
		r.shared[id] = file
		return
	}
	delete(r.shared, id)
	r.bytes += file.bytes
}

// add counts another snapshot.
func (r *reclaim) add(more reclaim) {
	r.bytes += more.bytes
	for id, file := range more.shared {
		r.share(id, file)
	}
}
