package apply

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/mark"
)

// create makes what an entry says under a name.
func (a *applier) create(at folder, name string, hdr *tar.Header, content io.Reader) error {
	switch hdr.Typeflag {
	case tar.TypeDir:
		return a.directory(at, name, hdr)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse: // see isRegular
		return a.regular(at, name, hdr, content)
	case tar.TypeLink:
		return a.hardLink(at, name, hdr)
	case tar.TypeSymlink:
		if hdr.Linkname == "" {
			return invalid("a symbolic link to nothing")
		}
		return a.node(at, name, hdr, func() error { return unix.Symlinkat(hdr.Linkname, at.fd, name) })
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		return a.device(at, name, hdr)
	}
	return invalid("unknown type %q", hdr.Typeflag)
}

// directory makes a directory, or takes the one that is there.
func (a *applier) directory(at folder, name string, hdr *tar.Header) error {
	replaced := false
	err := unix.Mkdirat(at.fd, name, 0o700)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(at.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat: %w", err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := dropXattrs(at, name, hdr); err != nil {
				return err
			}
			return a.describeDirectory(at, name, hdr)
		}
		if err := a.remove(at, name); err != nil {
			return err
		}
		replaced = true
		err = unix.Mkdirat(at.fd, name, 0o700)
	}
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := a.disinherit(at, name, true); err != nil {
		return err
	}
	if replaced && a.opts.Overlay {
		// What was there, a whiteout above all, hid what is below.
		if err := a.setOpaque(at.fd, name); err != nil {
			return err
		}
	}
	return a.describeDirectory(at, name, hdr)
}

// describeDirectory gives a directory what its entry says.
func (a *applier) describeDirectory(at folder, name string, hdr *tar.Header) error {
	if err := a.describe(at, name, hdr); err != nil {
		return err
	}
	a.stale = true // it may be the one that is open, with other attributes now
	return a.setTimes(at.join(name), timesOf(hdr))
}

// regular makes a regular file.
func (a *applier) regular(at folder, name string, hdr *tar.Header, content io.Reader) error {
	if err := a.opts.Limit.CheckFile(a.in.size+a.unread, hdr.Size); err != nil {
		return err
	}
	if _, streamed := content.(*tar.Reader); !streamed || isSparse(hdr) {
		a.unread += hdr.Size
	}
	fd := -1
	err := a.replace(at, name, func() (err error) {
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err = unix.Openat(at.fd, name, flags, 0o600)
		return err
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	err = a.fill(fd, content, hdr.Size)
	if cerr := unix.Close(fd); err == nil && cerr != nil {
		err = fmt.Errorf("close: %w", cerr)
	}
	if err != nil {
		return err
	}
	return a.finish(at, name, hdr)
}

// node makes what has no content, by make, and gives it what its entry says.
func (a *applier) node(at folder, name string, hdr *tar.Header, make func() error) error {
	if err := a.replace(at, name, make); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return a.finish(at, name, hdr)
}

// finish gives a new file what its entry says.
func (a *applier) finish(at folder, name string, hdr *tar.Header) error {
	if hdr.Typeflag != tar.TypeSymlink {
		if err := a.disinherit(at, name, false); err != nil {
			return err
		}
	}
	if err := a.describe(at, name, hdr); err != nil {
		return err
	}
	times := timesOf(hdr)
	if err := unix.UtimesNanoAt(at.fd, name, times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// Device numbers as the kernel has them (linux/kdev_t.h): it would cut greater
// ones, to the number of another device.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

func (a *applier) device(at folder, name string, hdr *tar.Header) error {
	kind := uint32(unix.S_IFIFO)
	dev := uint64(0)
	if hdr.Typeflag != tar.TypeFifo {
		if hdr.Devmajor < 0 || hdr.Devmajor > maxMajor || hdr.Devminor < 0 || hdr.Devminor > maxMinor {
			return invalid("device number %d:%d", hdr.Devmajor, hdr.Devminor)
		}
		dev = unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))
		kind = unix.S_IFBLK
		if hdr.Typeflag == tar.TypeChar {
			kind = unix.S_IFCHR
		}
	}
	err := a.node(at, name, hdr, func() error { return unix.Mknodat(at.fd, name, kind|0o600, int(dev)) })
	if errors.Is(err, unix.EPERM) && dev != 0 && a.opts.UserXattr {
		// An overlay with userxattr belongs to a user who cannot make devices.
		log.G(a.ctx).WithField("name", at.join(name)).Debug("left out a device, which needs root")
		return nil
	}
	return err
}

// hardLink gives a file another name. Names of the layer come first, then what
// is below.
func (a *applier) hardLink(at folder, name string, hdr *tar.Header) error {
	target := cleanName(hdr.Linkname)
	if target == "" || len(target) >= diff.MaxPath {
		return invalid("a hard link to %.100q", hdr.Linkname)
	}
	dir, base := path.Split(target)
	if diff.IsReserved(base) {
		return invalid("a hard link to %.100q, which is a mark", hdr.Linkname)
	}
	from, err := a.linkTarget(dir, base)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	defer unix.Close(from.fd)
	if from.path == at.path && base == name {
		return nil // to itself
	}
	if err := a.replace(at, name, func() error { return unix.Linkat(from.fd, base, at.fd, name, 0) }); err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, badLink(err))
	}
	return a.amend(at, name, hdr)
}

// badLink tells the errors of links that a layer asks for without sense.
func badLink(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return invalid("%w", err)
	}
	return err
}

// linkTarget opens the directory that has the target of a hard link.
func (a *applier) linkTarget(dir, base string) (folder, error) {
	if dir == aufsLinks+"/" && a.held != "" {
		return a.heldFolder()
	}
	from, err := a.open(dir, false)
	if err == nil {
		var st unix.Stat_t
		err = unix.Fstatat(from.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && (!a.opts.Overlay || !mark.IsWhiteout(&st)) {
			return from, nil
		}
		_ = unix.Close(from.fd)
		if err == nil {
			return folder{}, invalid("it is deleted")
		}
	}
	if !errors.Is(err, unix.ENOENT) || !a.opts.Overlay {
		return folder{}, badLink(err)
	}
	return a.copyUp(dir, base)
}

// replace makes something new under a name, in place of what is there.
func (a *applier) replace(at folder, name string, make func() error) error {
	err := make()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := a.remove(at, name); err != nil {
		return err
	}
	return make()
}
