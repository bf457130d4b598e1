package overlay

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// usageMark is an attribute of a snapshot's folder: the inode number of its fs,
// and what that takes. Whoever exchanges the fs of two snapshots leaves the
// records of both wrong; by the number it shows.
const usageMark = "user.baleen.usage"

// Usage returns what a snapshot takes by itself, without what is below. That of
// a committed one was found out when it was committed; an active one is walked.
func (s *Snapshotter) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	usage, err := s.usage(ctx, key)
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("measure snapshot %q: %w", key, err)
	}
	return usage, nil
}

func (s *Snapshotter) usage(ctx context.Context, key string) (usage snapshots.Usage, err error) {
	var (
		id   string
		info snapshots.Info
	)
	err = s.read(ctx, func(tx context.Context) (err error) {
		id, info, usage, err = storage.GetInfo(tx, key)
		return err
	})
	switch {
	case err != nil:
		return usage, err
	case info.Kind == snapshots.KindActive:
		return measure(ctx, s.upper(id))
	case info.Kind == snapshots.KindCommitted:
		return s.committedUsage(ctx, id, usage)
	}
	return usage, nil
}

// committedUsage returns what was recorded, unless the folder is another now.
func (s *Snapshotter) committedUsage(ctx context.Context, id string, recorded snapshots.Usage) (snapshots.Usage, error) {
	text := make([]byte, 128)
	n, err := unix.Lgetxattr(s.folder(id), usageMark, text)
	if err != nil {
		return recorded, nil // made by stock, or on a file system without such attributes
	}
	inode, noted, ok := parseUsage(string(text[:n]))
	if !ok {
		return recorded, nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(s.upper(id), &st); err != nil {
		return snapshots.Usage{}, err
	}
	if st.Ino == inode {
		return noted, nil
	}
	usage, err := measure(ctx, s.upper(id))
	if err == nil {
		s.noteUsage(ctx, id, usage)
	}
	return usage, err
}

// noteUsage is for committedUsage, which can do without.
func (s *Snapshotter) noteUsage(ctx context.Context, id string, usage snapshots.Usage) {
	var st unix.Stat_t
	err := unix.Lstat(s.upper(id), &st)
	if err == nil {
		err = unix.Lsetxattr(s.folder(id), usageMark, []byte(formatUsage(st.Ino, usage)), 0)
	}
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		log.G(ctx).WithError(err).WithField("id", id).Warn("could not note what a snapshot takes")
	}
}

// formatUsage is the text of a usageMark: three decimal numbers with blanks between
// them.
func formatUsage(inode uint64, usage snapshots.Usage) string {
	return fmt.Sprintf("%d %d %d", inode, usage.Size, usage.Inodes)
}

// parseUsage takes what formatUsage gives, and nothing else.
func parseUsage(text string) (inode uint64, usage snapshots.Usage, ok bool) {
	if n, err := fmt.Sscanf(text, "%d %d %d", &inode, &usage.Size, &usage.Inodes); n < 3 || err != nil {
		return 0, snapshots.Usage{}, false
	}
	return inode, usage, usage.Size >= 0 && usage.Inodes >= 0 && formatUsage(inode, usage) == text
}
