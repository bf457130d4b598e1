package apply

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/mark"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// lookBelow finds what shows in the lowers, and calls f with it; it reports
// whether there is anything.
func (a *applier) lookBelow(p, name string, f func(d *tree.Dir, e *tree.Entry) error) (bool, error) {
	if !a.stands() {
		return false, nil
	}
	if hidden, err := a.hidesBelow(p); hidden || err != nil {
		return false, err
	}
	if err := a.openLowers(); err != nil {
		return false, err
	}
	d, err := a.below.Descend(0, 0, p)
	if err != nil || d == nil {
		return false, err
	}
	defer d.Close()
	e, ok, err := a.below.Lookup(d, name)
	if err != nil || !ok {
		return false, err
	}
	return true, f(d, &e)
}

// hidesBelow reports whether the layer has said that of a directory, or one that
// it is in, nothing from below shows.
func (a *applier) hidesBelow(p string) (bool, error) {
	for ; p != ""; p = parentOf(p) {
		value, err := xattr.Get(xattr.Path(tree.ProcPath(a.root, p)), a.marks+"opaque")
		switch {
		case err == nil && string(value) == mark.OpaqueYes:
			return true, nil
		case err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) && !goneSince(err):
			return false, fmt.Errorf("read mark of %q: %w", p, err)
		}
	}
	return false, nil
}

// stands reports whether there are, or may be, lowers.
func (a *applier) stands() bool { return len(a.opts.Lowers) > 0 || a.opts.Below != nil }

func (a *applier) openLowers() error {
	if a.below != nil {
		return nil
	}
	open := func(lowers []string) (err error) {
		a.below, err = tree.OpenView(lowers, 0, a.opts.UserXattr)
		return err
	}
	if a.opts.Below != nil {
		return a.opts.Below(open)
	}
	return open(a.opts.Lowers)
}

// lowerNames calls f for all names that show in the root of the lowers.
func (a *applier) lowerNames(f func(name string) error) error {
	if !a.stands() {
		return nil
	}
	if err := a.openLowers(); err != nil {
		return err
	}
	root, err := a.below.Root(0, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	names := tree.NewNameReader(root.FDs(len(a.below.Roots)), a.dirents())
	for {
		some, err := names.Next()
		if err != nil || len(some) == 0 {
			return err
		}
		for _, name := range some {
			if err := a.look(); err != nil {
				return err
			}
			_, shows, err := a.below.Lookup(root, name)
			if err == nil && shows {
				err = f(name)
			}
			if err != nil {
				return err
			}
		}
	}
}

// implied makes a directory of which the layer only tells what is in it. It is
// what it is below; if nothing is there, or not to be seen, plain and root's.
func (a *applier) implied(at folder, name string, seen bool) error {
	if err := unix.Mkdirat(at.fd, name, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	var err error
	if at.defaults, err = hasDefaultACL(at.fd); err != nil {
		return err
	}
	if err := a.disinherit(at, name, true); err != nil {
		return err
	}
	hdr := &tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Now()}
	if err := mapIDs(hdr, a.opts.MapIDs); err != nil {
		return err
	}
	if seen && a.opts.Overlay {
		_, err := a.lookBelow(at.path, name, func(_ *tree.Dir, e *tree.Entry) error {
			if !e.IsDir() {
				return nil
			}
			var err error
			hdr, err = headerOf(e)
			return err
		})
		if err != nil {
			return fmt.Errorf("look at it below: %w", err)
		}
	}
	if err := a.describe(at, name, hdr); err != nil {
		return err
	}
	return a.setTimes(at.join(name), timesOf(hdr))
}

// copyUp copies a file from below into the target, as the kernel does when such
// a file gets another name, and returns the open directory that it is in.
func (a *applier) copyUp(p, name string) (folder, error) {
	to := folder{fd: -1}
	found, err := a.lookBelow(p, name, func(d *tree.Dir, e *tree.Entry) (err error) {
		if e.IsDir() {
			return invalid("it is a directory")
		}
		if to, err = a.open(p, true); err != nil {
			return err
		}
		if err := a.touch(to); err != nil {
			return err
		}
		return a.copyEntry(to, d, e)
	})
	if err == nil && !found {
		err = invalid("%w", unix.ENOENT)
	}
	if err != nil {
		if to.fd >= 0 {
			_ = unix.Close(to.fd)
		}
		return folder{}, fmt.Errorf("copy from below: %w", err)
	}
	return to, nil
}

func (a *applier) copyEntry(to folder, d *tree.Dir, e *tree.Entry) (err error) {
	hdr, err := headerOf(e)
	if err != nil {
		return err
	}
	var content io.Reader
	if hdr.Typeflag == tar.TypeReg {
		f, err := a.below.OpenContent(d, e)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		content = f
	}
	return a.create(to, e.Name, hdr, content)
}

// headerOf says of a file below what an entry of a layer would.
func headerOf(e *tree.Entry) (*tar.Header, error) {
	attrs, err := xattr.ReadCarried(e.Path())
	if err != nil {
		return nil, err
	}
	st := &e.Stat
	hdr := &tar.Header{
		Mode:       int64(st.Mode & 0o7777),
		Uid:        int(st.Uid),
		Gid:        int(st.Gid),
		AccessTime: time.Unix(st.Atim.Unix()),
		ModTime:    time.Unix(st.Mtim.Unix()),
		PAXRecords: make(map[string]string, len(attrs)),
	}
	for _, x := range attrs {
		hdr.PAXRecords[diff.PAXXattr+x.Name] = string(x.Value)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		hdr.Typeflag = tar.TypeDir
	case unix.S_IFREG:
		hdr.Typeflag, hdr.Size = tar.TypeReg, st.Size
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
		hdr.Linkname, err = tree.ReadlinkAt(e.DirFD(), e.Name)
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	default:
		return nil, invalid("a file of type %o", st.Mode&unix.S_IFMT)
	}
	return hdr, err
}
