package snap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/xattr"
)

// IsUnwritten reports whether an active snapshot, which stands on another one, has what
// that has: nothing in its folder, and the root directory unchanged but for times. It is
// false for snapshots that have no folder of their own. Nobody may write meanwhile.
func (s *Store) IsUnwritten(ctx context.Context, active snapshots.Info) (bool, error) {
	o, err := s.Overlay(ctx, active)
	if errors.Is(err, diff.ErrUnsupported) || err == nil && len(o.Lowers) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	empty, err := isEmpty(o.Uppers[0])
	if err != nil || !empty {
		return false, err
	}
	return sameRoot(o)
}

func isEmpty(folder string) (_ bool, err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return false, fmt.Errorf("look for changes: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	_, err = dir.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// sameRoot reports whether the root directory of an upper is what [KeepRoot] made it.
func sameRoot(o changes.Overlay) (bool, error) {
	lower, upper, ids := o.Lowers[0], o.Uppers[0], toHost(o)
	var was, is unix.Stat_t
	if err := errors.Join(pathError("stat", lower, unix.Lstat(lower, &was)), pathError("stat", upper, unix.Lstat(upper, &is))); err != nil {
		return false, err
	}
	uid, gid, err := ids.Pair(was.Uid, was.Gid)
	if err != nil {
		return false, pathError("map owner of", lower, err)
	}
	if uid != is.Uid || gid != is.Gid || was.Mode != is.Mode {
		return false, nil
	}
	had, err := rootAttrs(lower, ids)
	if err != nil {
		return false, err
	}
	has, err := rootAttrs(upper, nil)
	return slices.Equal(had, has), err
}

// rootAttrs returns the attributes of a directory that a container can set, as texts in
// the order of their names. Of too many to be listed it returns an error.
func rootAttrs(dir string, ids idmap.Func) (texts []string, _ error) {
	attrs, err := xattr.ReadCarried(dir)
	if err != nil {
		return nil, pathError("read attributes of", dir, err)
	}
	for _, attr := range attrs {
		value, err := xattr.MapACL(attr, ids)
		if err != nil {
			return nil, pathError("map attributes of", dir, err)
		}
		texts = append(texts, fmt.Sprintf("%q=%q", attr.Name, value))
	}
	slices.Sort(texts)
	return texts, nil
}
