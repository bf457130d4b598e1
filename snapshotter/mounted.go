package snapshotter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
)

// MountPoints returns where, in the mount namespace of this process, that is mounted
// which is to be mounted of an active snapshot: an overlay with the same upper, or
// the same folder. It is nil if it is not mounted, or if mounts of that type do not
// tell.
func MountPoints(mounts []mount.Mount) ([]string, error) {
	switch dir := changes.WrittenDir(mounts); {
	case dir == "": // a type of mount that does not tell
		return nil, nil
	case mounts[0].Type == "overlay":
		return overlayOn(dir)
	default:
		return boundAt(dir)
	}
}

// MountedUpper is the upper of the overlay that is mounted on a folder in the mount
// namespace of this process; "" if no overlay is.
func MountedUpper(root string) (string, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	infos, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(root))
	if err != nil {
		return "", fmt.Errorf("look up the mount of %s: %w", root, err)
	}
	for _, i := range infos {
		if upper := upperOf(i); upper != "" {
			return upper, nil
		}
	}
	return "", nil
}

// overlayOn returns where an overlay with that upper is mounted.
func overlayOn(upper string) (points []string, err error) {
	infos, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("overlay"))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	for _, i := range infos {
		if sameUpper(upperOf(i), upper) {
			points = append(points, i.Mountpoint)
		}
	}
	return points, nil
}

// sameUpper reports whether two paths are of one upper, which may be written in two
// ways if a folder above it has two.
func sameUpper(a, b string) bool {
	if a == b {
		return true
	}
	// Others' folders are not looked at: their disks may not answer.
	if snapshotDir(a) != snapshotDir(b) {
		return false
	}
	ai, err := os.Stat(a)
	if err != nil {
		return false
	}
	bi, err := os.Stat(b)
	return err == nil && os.SameFile(ai, bi)
}

// snapshotDir is what snapshotters name a snapshot's folder by, and its upper.
func snapshotDir(upper string) string {
	return filepath.Join(filepath.Base(filepath.Dir(upper)), filepath.Base(upper))
}

// boundAt returns where a folder is mounted by binding it.
func boundAt(folder string) (points []string, err error) {
	this, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	device := this.Sys().(*syscall.Stat_t).Dev
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return unix.Mkdev(uint32(i.Major), uint32(i.Minor)) != device, false //nolint:gosec // the kernel's numbers fit
	})
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	for _, i := range infos {
		if other, err := os.Stat(i.Mountpoint); err == nil && os.SameFile(this, other) {
			points = append(points, i.Mountpoint)
		}
	}
	return points, nil
}

// upperOf is the upper of a mounted overlay; "" if it has none.
func upperOf(i *mountinfo.Info) string {
	if i.FSType != "overlay" {
		return ""
	}
	for _, option := range strings.Split(i.VFSOptions, ",") {
		if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
			return unescapeOctal(upper)
		}
	}
	return ""
}

// unescapeOctal reads a value as proc_pid_mountinfo(5) writes it: what would divide
// fields or options is a backslash and three octal digits.
func unescapeOctal(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
