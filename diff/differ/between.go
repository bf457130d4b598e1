package differ

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// between finds the folders that upper has on top of lower, as a container's:
// its changes are what makes upper of lower. The error is [diff.ErrUnsupported]
// if the mounts do not tell.
func between(ctx context.Context, lower, upper []mount.Mount) (*changes.Container, error) {
	o, dirs, err := folders(upper)
	if err != nil {
		return nil, err
	}
	var below []string
	if len(lower) > 0 {
		if _, below, err = folders(lower); err != nil {
			return nil, err
		}
	}
	on := len(dirs) - len(below)
	if on < 0 || !slices.EqualFunc(dirs[on:], below, sameFolder) {
		// What has no parent is compared with a new, empty snapshot.
		nothing := changes.Container{Overlay: changes.Overlay{Uppers: below}}
		if empty, err := nothing.Untouched(ctx); err != nil || !empty {
			return nil, errors.Join(err, fmt.Errorf("%w: the one is not the other with changes on top", diff.ErrUnsupported))
		}
		on = len(dirs)
	}
	o.Uppers, o.Lowers = dirs[:on], dirs[on:]
	return &changes.Container{Overlay: o}, nil
}

// folders are those that mounts show merged, topmost first.
func folders(mounts []mount.Mount) (changes.Overlay, []string, error) {
	o, err := changes.ParseOverlay(mounts, false)
	return o, slices.Concat(o.Uppers, o.Lowers), err
}

// sameFolder reports whether two paths lead to one folder: snapshotters give
// those of long chains other names, to have room for all.
func sameFolder(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
