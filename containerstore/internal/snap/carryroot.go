package snap

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/xattr"
)

// carryRoot makes the changes between the root directories of two trees in the root of a
// third: owner, mode and attributes. A comparison of trees tells what is in the root, and
// nothing of the root itself.
func carryRoot(ctx context.Context, before, now, into []mount.Mount) error {
	return mount.WithReadonlyTempMount(ctx, before, func(was string) error {
		return mount.WithReadonlyTempMount(ctx, now, func(is string) error {
			changes, err := compareRoots(was, is)
			if err != nil || changes.none() {
				return err
			}
			return apply.WriteMounted(ctx, into, changes.apply)
		})
	})
}

// rootChanges are what to change in a root directory: nil is left.
type rootChanges struct {
	owner *[2]uint32 // user and group
	mode  *uint32
	set   []xattr.Attr
	unset []string
}

func compareRoots(was, is string) (c rootChanges, _ error) {
	var a, b unix.Stat_t
	if err := errors.Join(pathError("stat", was, unix.Lstat(was, &a)), pathError("stat", is, unix.Lstat(is, &b))); err != nil {
		return c, err
	}
	if a.Uid != b.Uid || a.Gid != b.Gid {
		c.owner = &[2]uint32{b.Uid, b.Gid}
	}
	if a.Mode != b.Mode {
		c.mode = &b.Mode
	}
	had, err := xattr.ReadCarried(was)
	if err != nil {
		return c, pathError("read attributes of", was, err)
	}
	has, err := xattr.ReadCarried(is)
	if err != nil {
		return c, pathError("read attributes of", is, err)
	}
	for _, attr := range has {
		if !slices.ContainsFunc(had, func(h xattr.Attr) bool { return h.Name == attr.Name && bytes.Equal(h.Value, attr.Value) }) {
			c.set = append(c.set, attr)
		}
	}
	for _, attr := range had {
		if !slices.ContainsFunc(has, func(h xattr.Attr) bool { return h.Name == attr.Name }) {
			c.unset = append(c.unset, attr.Name)
		}
	}
	return c, nil
}

func (c rootChanges) none() bool {
	return c.owner == nil && c.mode == nil && len(c.set) == 0 && len(c.unset) == 0
}

// apply makes the changes. An access control list comes after the mode: it has bits of it.
func (c rootChanges) apply(root string) error {
	if c.owner != nil {
		if err := unix.Lchown(root, int(c.owner[0]), int(c.owner[1])); err != nil {
			return pathError("chown", root, err)
		}
	}
	if c.mode != nil {
		if err := unix.Chmod(root, *c.mode&0o7777); err != nil {
			return pathError("chmod", root, err)
		}
	}
	for _, attr := range c.set {
		if err := unix.Lsetxattr(root, attr.Name, attr.Value, 0); err != nil {
			return pathError("set attribute "+attr.Name+" of", root, err)
		}
	}
	for _, name := range c.unset {
		if err := unix.Lremovexattr(root, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return pathError("remove attribute "+name+" of", root, err)
		}
	}
	return nil
}
