package snapshotter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// inode names a file whatever its path.
type inode struct{ dev, ino uint64 }

// mapped is a file of several names whose owner has been mapped.
type mapped struct {
	path     string
	uid, gid uint32 // before
}

// remapper gives the files of a tree other owners, each file once.
type remapper struct {
	mapIDs diff.MapFunc
	links  map[inode]mapped
	// notes says to note on a file what it loses with its owner until it has it
	// back, so that a crash in between loses nothing.
	notes bool
	files int64 // met so far
}

func newRemapper(f diff.MapFunc) *remapper {
	return &remapper{mapIDs: f, links: map[inode]mapped{}}
}

func remapTree(ctx context.Context, root string, f diff.MapFunc) error {
	return newRemapper(f).tree(ctx, root)
}

func (r *remapper) tree(ctx context.Context, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r.files++
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			return nil // a whiteout is nobody's, and overlays share one inode for many
		}
		if st.Nlink < 2 || d.IsDir() {
			return r.file(path, &st)
		}
		id := inode{st.Dev, st.Ino}
		first, met := r.links[id]
		if !met {
			r.links[id] = mapped{path, st.Uid, st.Gid}
			return r.file(path, &st)
		}
		if st.Uid != first.uid || st.Gid != first.gid {
			return nil // one file still, which has been mapped
		}
		return relink(path, first.path)
	})
}

// relink makes path a name of the file that first is. Where the tree is an
// overlay, mapping the first name copied the file up, and left the other names
// to the file below.
func relink(path, first string) error {
	var a, b, dir unix.Stat_t
	if err := unix.Lstat(path, &a); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if err := unix.Lstat(first, &b); err != nil {
		return &fs.PathError{Op: "lstat", Path: first, Err: err}
	}
	if a.Uid == b.Uid && a.Gid == b.Gid {
		return nil // the mapping left the owner as it was
	}
	parent := filepath.Dir(path)
	if err := unix.Lstat(parent, &dir); err != nil {
		return &fs.PathError{Op: "lstat", Path: parent, Err: err}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := os.Link(first, path); err != nil {
		return err
	}
	return setTimes(parent, &dir)
}

// file maps the owner of one file, and the ids in its access control lists. The
// kernel takes setuid, setgid and capabilities from anything but a directory that
// changes its owner.
func (r *remapper) file(path string, st *unix.Stat_t) error {
	uid, gid, err := r.mapIDs.Pair(st.Uid, st.Gid)
	if err != nil {
		return fmt.Errorf("map owner of %s: %w", path, err)
	}
	attrs, err := carriedAttrs(path, st)
	if err != nil {
		return err
	}
	var lost loss
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFLNK && (uid != st.Uid || gid != st.Gid || attrs[noteXattr] != nil) {
		if lost, err = r.losses(path, st, attrs); err != nil {
			return err
		}
	}
	if uid != st.Uid || gid != st.Gid {
		if err := unix.Lchown(path, int(uid), int(gid)); err != nil {
			return &fs.PathError{Op: "lchown", Path: path, Err: err}
		}
	}
	for name, value := range attrs {
		now, err := diff.MapACL(diff.Xattr{Name: name, Value: value}, r.mapIDs)
		if err != nil {
			return fmt.Errorf("map ids of %s of %s: %w", name, path, err)
		}
		if string(now) == string(value) {
			continue
		}
		if err := setXattr(path, name, now); err != nil {
			return err
		}
	}
	return lost.restore(path, r.notes)
}

// loss is what a file loses with its owner.
type loss struct {
	mode uint32 // setuid and setgid, with all others; 0 if it has neither
	caps []byte
}

// noteXattr keeps a file's loss on the file: the mode as a little-endian word,
// and the capabilities behind it.
const noteXattr = "trusted.baleen.owner"

// losses says what a file is to have again, and notes it.
func (r *remapper) losses(path string, st *unix.Stat_t, attrs map[string][]byte) (l loss, err error) {
	if note := attrs[noteXattr]; len(note) >= 4 && r.notes {
		l.mode = binary.LittleEndian.Uint32(note)
		if len(note) > 4 {
			l.caps = note[4:]
		}
		return l, nil
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		l.mode = st.Mode & 0o7777
	}
	l.caps = diff.PlainCapability(attrs[capabilityXattr])
	if !r.notes || l.mode == 0 && l.caps == nil {
		return l, nil
	}
	note := append(binary.LittleEndian.AppendUint32(nil, l.mode), l.caps...)
	return l, setXattr(path, noteXattr, note)
}

func (l loss) restore(path string, noted bool) error {
	if l.mode == 0 && l.caps == nil {
		return nil
	}
	if l.mode != 0 {
		if err := unix.Chmod(path, l.mode); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	if l.caps != nil {
		if err := setXattr(path, capabilityXattr, l.caps); err != nil {
			return err
		}
	}
	if !noted {
		return nil
	}
	if err := unix.Lremovexattr(path, noteXattr); err != nil {
		return &fs.PathError{Op: "removexattr " + noteXattr, Path: path, Err: err}
	}
	return nil
}

// carriedAttrs reads the attributes of a file in which ids are, or that go with
// changes its owner.
func carriedAttrs(path string, st *unix.Stat_t) (map[string][]byte, error) {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, nil
	}
	var room [512]byte
	list := room[:]
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ERANGE) {
		list = make([]byte, 64<<10) // the most that there is
		n, err = unix.Llistxattr(path, list)
	}
	if n == 0 || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: path, Err: err}
	}
	attrs := map[string][]byte{}
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name != capabilityXattr && name != noteXattr && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, &fs.PathError{Op: "getxattr " + name, Path: path, Err: err}
		}
		attrs[name] = value[:n]
	}
	return attrs, nil
}

func setXattr(path, name string, value []byte) error {
	if err := unix.Lsetxattr(path, name, value, 0); err != nil {
		return &fs.PathError{Op: "setxattr " + name, Path: path, Err: err}
	}
	return nil
}

func setTimes(path string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimensat", Path: path, Err: err}
	}
	return nil
}

const capabilityXattr = "security.capability"
