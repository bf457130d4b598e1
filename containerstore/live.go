package containerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/snapshotter"
)

// maxLiveFiles is how many files all of [LiveSeals] has at most, of 40 bytes each.
const maxLiveFiles = 2 * snapshotter.MaxCopies

// LiveSeals remembers, in memory, what the last live revision of each container copied:
// the next one copies what has changed since, and stands on it. Without it, and of a
// container that it has forgotten, all is copied. The zero value is ready for use, by
// several at a time.
//
// It has up to 524,288 files, 20 MiB, and forgets the containers that were not sealed
// for the longest time when there are more. Of one container it has half of that.
type LiveSeals struct {
	mu    sync.Mutex
	last  map[string]liveSeal
	files int
	count uint64 // of seals
}

// liveSeal is the last live revision of a container.
type liveSeal struct {
	active time.Time // when the active snapshot was made that was copied
	upper  string    // its folder
	ids    string    // how its ids were mapped
	name   string    // of the revision
	made   time.Time // when its snapshot was made
	copies *snapshotter.Copies
	// weight is what copying all would have cost, and above what the revisions took
	// since all was copied; both are bytes, with some for each file.
	weight, above int64
	used          uint64 // in the order of seals
}

func (l *LiveSeals) get(container string) (liveSeal, bool) {
	if l == nil {
		return liveSeal{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.last[container]
	return last, ok
}

func (l *LiveSeals) set(container string, last liveSeal) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(container)
	if l.last == nil {
		l.last = map[string]liveSeal{}
	}
	l.count++
	last.used = l.count
	l.last[container] = last
	l.files += last.copies.Len()
	for l.files > maxLiveFiles {
		oldest := container
		for name, other := range l.last {
			if other.used < l.last[oldest].used {
				oldest = name
			}
		}
		l.remove(oldest)
	}
}

// Forget has the next live revision of a container copy all.
func (l *LiveSeals) Forget(container string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(container)
}

func (l *LiveSeals) remove(container string) {
	if last, ok := l.last[container]; ok {
		l.files -= last.copies.Len()
		delete(l.last, container)
	}
}

// lastLive returns the last live revision of the container, if the next one can stand on
// it. If the revisions since all was copied take as much as that, all is copied again:
// otherwise what has been overwritten would stay for the revisions above, however few of
// them are kept. So it is if the next one could not be gone back to for all its layers.
func (h *History) lastLive(t *tree) (liveSeal, bool) {
	last, ok := h.Live.get(h.Container)
	if !ok || t.active.Parent == "" || !last.active.Equal(t.active.Created) || last.above >= last.weight {
		return liveSeal{}, false
	}
	i, ok := t.all[last.name]
	if !ok || !i.Created.Equal(last.made) || !t.isLive(i) {
		return liveSeal{}, false
	}
	own := 2 // the active snapshot, after going back to the next revision, and that
	for ok && !strings.HasSuffix(i.Name, initSuffix) {
		own++
		i, ok = t.all[i.Parent]
	}
	return last, own <= h.limit()
}

// liveUpper returns where a container that may be running writes, and the folder of a
// snapshot for it. If that is to stand on the last live revision, it does.
func (l *liveSeal) liveUpper(from, to changes.Overlay) (*changes.Container, error) {
	c := &changes.Container{Overlay: from, Whole: true}
	if l.copies == nil {
		return c, nil
	}
	above := len(to.Lowers) - len(from.Lowers)
	same := len(from.Uppers) == 1 && from.Uppers[0] == l.upper && mapping(from) == l.ids && from.UserXattr == to.UserXattr && to.Mapped == 0 &&
		len(from.Lowers) > 0 && above > 0 && slices.Equal(from.Lowers, to.Lowers[above:])
	if !same {
		return nil, fmt.Errorf("%w: the last live revision does not stand on what the container stands on", diff.ErrUnsupported)
	}
	c.Earlier.Layers = to.Lowers[:above]
	return c, nil
}

// mapping is how the ids of an upper are mapped.
func mapping(o changes.Overlay) string {
	uids, gids := o.IDs.Format()
	return fmt.Sprint(o.Mapped, " ", uids, " ", gids)
}

// fileWeight is what a file or directory counts for besides its bytes: a block.
const fileWeight = 4096

// copyLive copies what the container has written since last; all, if last is the zero
// value. It returns what the next live revision is to know.
func (h *History) copyLive(ctx context.Context, parent string, live, into []mount.Mount, pause Pause, last liveSeal) (next liveSeal, err error) {
	from, err := changes.ParseOverlay(live, parent != "")
	if errors.Is(err, diff.ErrUnsupported) && h.Differ != nil && last.copies == nil {
		return next, h.copyTrees(ctx, parent, live, into, pause, err)
	}
	if err != nil {
		return next, err
	}
	to, err := changes.ParseOverlay(into, parent != "")
	if err != nil {
		return next, err
	}
	c, err := last.liveUpper(from, to)
	if err != nil {
		return next, err
	}
	err = snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
		defer pause()()
		stats, copies, err := snapshotter.SealLive(ctx, c, to.Uppers[0], last.copies)
		took := stats.Bytes + fileWeight*stats.Changes
		next = liveSeal{upper: from.Uppers[0], ids: mapping(from), copies: copies, weight: took + stats.KeptBytes + fileWeight*stats.Kept}
		if last.copies != nil {
			next.above = last.above + took
		}
		return stats, err
	})
	return next, err
}
