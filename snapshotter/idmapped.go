package snapshotter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
)

// MappedLabels are the labels of an active snapshot, or a view, that is to have
// mapped ids when it is mounted: the layers below it keep the ids of the image,
// and what is written gets those of the host. Whoever mounts maps
// (containerd's package mount does), so the snapshot is there at once, whatever
// the image weighs; see [MapsByMount] for where that works.
//
// They are the daemon's word alone: an image's annotations never become labels
// here.
func MappedLabels(m idmap.Map) map[string]string {
	uids, gids := m.Format()
	return map[string]string{snapshots.LabelSnapshotUIDMapping: uids, snapshots.LabelSnapshotGIDMapping: gids}
}

// fitsLabels reports whether containerd takes a mapping as labels, which fails for
// those of some 170 ranges.
func fitsLabels(m idmap.Map) bool {
	for key, value := range MappedLabels(m) {
		if labels.Validate(key, value) != nil {
			return false
		}
	}
	return true
}

// MappedFromLabels is the reverse of MappedLabels; ok is false if the labels ask
// for no mapping.
func MappedFromLabels(labels map[string]string) (m idmap.Map, ok bool, err error) {
	uids, gids := labels[snapshots.LabelSnapshotUIDMapping], labels[snapshots.LabelSnapshotGIDMapping]
	if uids == "" && gids == "" {
		return m, false, nil
	}
	m, err = idmap.Parse(uids, gids)
	return m, err == nil, err
}

// MakeFunc makes an active snapshot or a view: it is a snapshotter's Prepare or
// View.
type MakeFunc func(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error)

// MapsByMount reports whether ids can be mapped by mounting: whether the
// snapshotter asks for it in the mounts of a snapshot with [MappedLabels], and
// the kernel and the file system of the snapshots do it. It finds out by making
// such a snapshot on parent, which must not be "", and mounting it. The caller
// holds a lease; key is free to use.
//
// Overlays that [changes.ParseOverlay] does not understand are not mapped so, nor
// mappings of which some ids are both inside and outside, for [UnmapUpper] could not
// tell what it has done, or that have more ranges than fit into a label.
func MapsByMount(ctx context.Context, sn snapshots.Snapshotter, make MakeFunc, key, parent string, m idmap.Map) (bool, error) {
	if !m.Disjoint() || !fitsLabels(m) {
		return false, nil
	}
	defer remove(ctx, sn, key) // it may be there even if it could not be made
	mounts, err := make(ctx, key, parent, snapshots.WithLabels(MappedLabels(m)))
	if err != nil {
		return false, fmt.Errorf("make snapshot %s on %q: %w", key, parent, err)
	}
	if !AsksForMapping(mounts) {
		return false, nil
	}
	if _, err := changes.ParseOverlay(mounts, true); err != nil {
		return false, nil //nolint:nilerr // it would work, but nobody could tell what is written
	}
	works := false
	err = mount.WithTempMount(ctx, mounts, func(root string) (err error) {
		works, err = showsMapped(root, m)
		return err
	})
	for _, cannot := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM, unix.ENOSYS} {
		if errors.Is(err, cannot) {
			log.G(ctx).WithError(err).Info("the kernel or the file system cannot map ids by mounting")
			return false, nil
		}
	}
	return works, err
}

// AsksForMapping reports whether whoever mounts a snapshot maps its ids.
func AsksForMapping(mounts []mount.Mount) bool {
	has := func(option string) bool {
		return len(mounts) == 1 && slices.ContainsFunc(mounts[0].Options, func(o string) bool { return strings.HasPrefix(o, option) })
	}
	return has("uidmap=") && has("gidmap=")
}

// showsMapped looks at the first file of a root: the root itself is in the
// upper, and mapped by the snapshotter.
func showsMapped(root string, m idmap.Map) (bool, error) {
	dir, err := os.Open(root)
	if err != nil {
		return false, err
	}
	names, err := dir.Readdirnames(1)
	if err = errors.Join(err, dir.Close()); errors.Is(err, io.EOF) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(root+"/"+names[0], &st); err != nil {
		return false, err
	}
	_, _, err = idmap.Func(m.ToContainer).Pair(st.Uid, st.Gid)
	return err == nil, nil
}
