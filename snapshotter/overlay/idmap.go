package overlay

import (
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
)

// owner is who a folder belongs to, in ids of the host.
type owner struct{ uid, gid int }

// mappedRoot returns who is root in the user namespace that the labels among
// opts describe, or nil if there are none. A label that is missing maps every
// id to itself.
func mappedRoot(opts []snapshots.Opt) (*owner, error) {
	var info snapshots.Info
	for _, o := range opts {
		if err := o(&info); err != nil {
			return nil, err
		}
	}
	var ids [2]int
	any := false
	for i, label := range []string{snapshots.LabelSnapshotUIDMapping, snapshots.LabelSnapshotGIDMapping} {
		mapping, ok := info.Labels[label]
		if !ok {
			continue
		}
		any = true
		id, err := hostRoot(mapping)
		if err != nil {
			return nil, fmt.Errorf("label %s=%s: %w: %w", label, mapping, err, errdefs.ErrInvalidArgument)
		}
		ids[i] = id
	}
	if !any {
		return nil, nil
	}
	return &owner{ids[0], ids[1]}, nil
}

// hostRoot returns what id 0 is on the host, by ranges as in [idmap.Parse].
func hostRoot(ranges string) (int, error) {
	m, err := idmap.Parse(ranges, ranges)
	if err != nil {
		return 0, err
	}
	root, err := m.ToHost(0, idmap.UserID)
	return int(root), err
}

// remapsIDs finds out whether overlays can map ids of what lies below root. It
// mounts nothing that another process could see.
func remapsIDs(root string) (bool, error) {
	if ok, err := overlayutils.SupportsIDMappedMounts(); err != nil || !ok {
		return false, err
	}
	namespace, err := mount.GetUsernsFD("0:1:1", "0:1:1")
	if err != nil {
		return false, fmt.Errorf("make user namespace: %w", err)
	}
	defer namespace.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return false, fmt.Errorf("clone mount of %s: %w", root, err)
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(namespace.Fd()),
	})
	if err != nil {
		return false, fmt.Errorf("map ids of mount of %s: %w", root, err)
	}
	return true, nil
}
