package fsops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Perform does operations below root, one after the other. Those that cannot be
// done are left out; done counts the others. An error means that the file system
// itself is in trouble.
func Perform(root string, ops []Op) (done int, err error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(fd)
	for _, op := range ops {
		err := perform(fd, op)
		if err == nil {
			done++
		}
		for _, serious := range []error{unix.EIO, unix.ENOSPC, unix.EROFS, unix.ENOTSUP, unix.EMFILE} {
			if errors.Is(err, serious) {
				return done, fmt.Errorf("%s: %w", op, err)
			}
		}
	}
	return done, nil
}

// place is a name in an open directory.
type place struct {
	dir  int
	name string
}

// proc is a path for system calls that want one; only its end is a name.
func (p place) proc() string { return "/proc/self/fd/" + strconv.Itoa(p.dir) + "/" + p.name }

func (p place) close() { _ = unix.Close(p.dir) }

// find opens the directory that a path is in, through no link.
func find(root int, name string) (place, error) {
	dir, base := path.Split(name)
	fd, err := unix.Openat2(root, "./"+dir, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	return place{fd, base}, err
}

func perform(root int, op Op) error {
	at, err := find(root, op.Path)
	if err != nil {
		return err
	}
	defer at.close()
	switch op.Verb {
	case "link", "rename", "exchange", "replace":
		to, err := find(root, op.To)
		if err != nil {
			return err
		}
		defer to.close()
		return move(op.Verb, at, to)
	}
	if do, ok := makers[op.Verb]; ok {
		return do(at, op)
	}
	do, ok := changers[op.Verb]
	if !ok {
		return fmt.Errorf("there is no operation %q", op.Verb)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(at.dir, at.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return do(at, op, &st)
}

func move(verb string, from, to place) error {
	switch verb {
	case "link":
		return unix.Linkat(from.dir, from.name, to.dir, to.name, 0)
	case "exchange":
		return unix.Renameat2(from.dir, from.name, to.dir, to.name, unix.RENAME_EXCHANGE)
	case "replace": // with a hard link, as cp -lf does
		const name = "replacement"
		if err := unix.Linkat(from.dir, from.name, to.dir, name, 0); err != nil {
			return err
		}
		err := unix.Renameat(to.dir, name, to.dir, to.name)
		_ = unix.Unlinkat(to.dir, name, 0) // a rename onto another name of it does nothing
		return err
	}
	return unix.Renameat(from.dir, from.name, to.dir, to.name)
}

// makers do not need anything to be there.
var makers = map[string]func(place, Op) error{
	"create": func(at place, op Op) error {
		return write(at, unix.O_CREAT|unix.O_TRUNC, 0, content(op.Text, op.N))
	},
	"mkdir": func(at place, _ Op) error { return unix.Mkdirat(at.dir, at.name, 0o755) },
	"symlink": func(at place, op Op) error {
		return unix.Symlinkat(op.To, at.dir, at.name)
	},
	"mknod": func(at place, op Op) error {
		return unix.Mknodat(at.dir, at.name, unix.S_IFCHR|0o644, int(unix.Mkdev(1, uint32(op.N))))
	},
	"fifo":   func(at place, _ Op) error { return unix.Mknodat(at.dir, at.name, unix.S_IFIFO|0o600, 0) },
	"socket": func(at place, _ Op) error { return unix.Mknodat(at.dir, at.name, unix.S_IFSOCK|0o600, 0) },
}

// content is text repeated to a size.
func content(text string, size int64) []byte {
	return []byte(strings.Repeat(text, int(size)/len(text)+1)[:size])
}

// changers change what is there.
var changers = map[string]func(place, Op, *unix.Stat_t) error{
	"write":    func(at place, op Op, _ *unix.Stat_t) error { return write(at, 0, op.N, []byte(op.Text)) },
	"append":   func(at place, op Op, st *unix.Stat_t) error { return write(at, 0, st.Size, []byte(op.Text)) },
	"sparse":   func(at place, op Op, _ *unix.Stat_t) error { return write(at, 0, op.N, []byte("far")) },
	"open":     func(at place, _ Op, _ *unix.Stat_t) error { return write(at, 0, 0, nil) },
	"truncate": func(at place, op Op, _ *unix.Stat_t) error { return truncate(at, op.N) },
	"forge":    forge,
	"unlink":   func(at place, _ Op, _ *unix.Stat_t) error { return unix.Unlinkat(at.dir, at.name, 0) },
	"rmdir":    func(at place, _ Op, _ *unix.Stat_t) error { return unix.Unlinkat(at.dir, at.name, unix.AT_REMOVEDIR) },
	"remove-all": func(at place, _ Op, _ *unix.Stat_t) error {
		return os.RemoveAll(at.proc())
	},
	"chmod":     func(at place, op Op, st *unix.Stat_t) error { return chmod(at, uint32(op.N), st) },
	"same-mode": func(at place, _ Op, st *unix.Stat_t) error { return chmod(at, st.Mode&0o7777, st) },
	"chown": func(at place, op Op, _ *unix.Stat_t) error {
		return unix.Fchownat(at.dir, at.name, int(op.N), int(op.N), unix.AT_SYMLINK_NOFOLLOW)
	},
	"utimes": func(at place, op Op, _ *unix.Stat_t) error {
		return utimes(at, unix.Timespec{Sec: op.N, Nsec: op.N % 2 * 123_456_789})
	},
	"setxattr": func(at place, op Op, _ *unix.Stat_t) error {
		return ignoreEPERM(unix.Lsetxattr(at.proc(), op.To, []byte(op.Text), 0))
	},
	"removexattr": func(at place, op Op, _ *unix.Stat_t) error {
		return ignoreEPERM(unix.Lremovexattr(at.proc(), op.To))
	},
	"setcap": func(at place, _ Op, st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return unix.EINVAL
		}
		return unix.Lsetxattr(at.proc(), "security.capability", []byte("\x01\x00\x00\x02\x00\x20"+strings.Repeat("\x00", 14)), 0)
	},
	"setacl": func(at place, _ Op, st *unix.Stat_t) error {
		if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
			return unix.EINVAL
		}
		return unix.Lsetxattr(at.proc(), "system.posix_acl_access", []byte(acl), 0)
	},
}

// acl gives user 7 rights (linux/posix_acl_xattr.h).
const acl = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x07\x00\x00\x00" +
	"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// ignoreEPERM is for attributes that links and devices cannot have.
func ignoreEPERM(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// write opens a regular file for writing, never another, and writes data, if any.
func write(at place, flags int, offset int64, data []byte) error {
	fd, err := unix.Openat(at.dir, at.name, flags|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.Join(err, unix.EINVAL)
	}
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, offset)
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

func truncate(at place, size int64) error {
	fd, err := unix.Openat(at.dir, at.name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, size)
}

// forge changes a file's content but neither its size nor its time.
func forge(at place, op Op, st *unix.Stat_t) error {
	if err := write(at, 0, 0, content(op.Text, min(st.Size, 100_000))); err != nil {
		return err
	}
	return utimes(at, st.Mtim)
}

// chmod leaves links alone: it would follow them.
func chmod(at place, mode uint32, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.EINVAL
	}
	return unix.Fchmodat(at.dir, at.name, mode, 0)
}

func utimes(at place, mtime unix.Timespec) error {
	return unix.UtimesNanoAt(at.dir, at.name, []unix.Timespec{mtime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
}
