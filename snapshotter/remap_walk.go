package snapshotter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/xattr"
)

// remapper gives the files of a tree other owners, each file once. It finds them by
// descriptors: no path is too long.
type remapper struct {
	mapIDs idmap.Func
	// once says that no file may be mapped twice; links are those of several names.
	once  bool
	links inode.Links
	// owners are those that files of links had, of which anything is another now.
	owners inode.Table
	// relinks says that changing a file may leave its other names to another one, as
	// on an overlay, where the first name is copied up.
	relinks bool
	// notes says to note on a file what it loses with its owner until it has it
	// back, so that a crash in between loses nothing.
	notes bool
	files int64 // met so far

	root int        // the directory itself
	way  []*sealDir // from there, of directories that may be remembered
}

func remapTree(ctx context.Context, root string, f idmap.Func) error {
	r := &remapper{mapIDs: f, once: true}
	return r.tree(ctx, root)
}

// remapMounted is remapTree for the root of a mounted overlay.
func remapMounted(ctx context.Context, root string, f idmap.Func) error {
	r := &remapper{mapIDs: f, once: true, relinks: true}
	return r.tree(ctx, root)
}

func (r *remapper) tree(ctx context.Context, root string) (err error) {
	defer func() { err = errors.Join(err, r.links.Close(), r.owners.Close()) }()
	tree := dirtree.Tree{Root: root, Visit: func(e *dirtree.Entry) error {
		if err := r.entry(e); err != nil {
			return fmt.Errorf("%q: %w", e.Path(), err)
		}
		return nil
	}}
	if r.relinks {
		tree.Whole = true // every directory that is entered is left
		tree.Leave = func(*dirtree.Entry) error { r.way = r.way[:len(r.way)-1]; return nil }
	}
	return tree.Walk(ctx)
}

func (r *remapper) entry(e *dirtree.Entry) error {
	r.files++
	if e.Stat.Mode&unix.S_IFMT == unix.S_IFCHR && e.Stat.Rdev == 0 {
		return nil // a whiteout is nobody's, and overlays share one inode for many
	}
	if e.IsDir() && r.relinks {
		r.enter(e)
	}
	if e.Stat.Nlink < 2 || e.IsDir() || !r.once {
		_, err := r.file(e)
		return err
	}
	first, err := r.links.Meet(&e.Stat)
	if err != nil {
		return err
	}
	if first == 0 {
		return r.first(e)
	}
	if !r.relinks {
		return nil
	}
	owner, err := r.owners.Get(inode.Of(&e.Stat))
	if err != nil || owner != ownerOf(e) {
		return err // one file still, which has been mapped
	}
	return r.relink(e, first)
}

// ownerOf is what owners holds of a file that has the owner.
func ownerOf(e *dirtree.Entry) inode.Value {
	return inode.Value{1, uint64(e.Stat.Uid)<<32 | uint64(e.Stat.Gid)}
}

// first maps the owner of a file under the first of its names.
func (r *remapper) first(e *dirtree.Entry) error {
	if !r.relinks {
		if err := r.links.Add(&e.Stat, 0, ""); err != nil {
			return err
		}
		_, err := r.file(e)
		return err
	}
	if err := addLink(&r.links, &e.Stat, r.way[len(r.way)-1], e.Name); err != nil {
		return err
	}
	owner := ownerOf(e)
	changed, err := r.file(e)
	if err != nil || !changed {
		return err
	}
	return r.owners.Set(inode.Of(&e.Stat), owner)
}

// enter notes the directory that the walk goes down into.
func (r *remapper) enter(e *dirtree.Entry) {
	d := &sealDir{name: e.Name}
	if len(r.way) == 0 {
		r.root = e.Dir
	} else {
		d.above = r.way[len(r.way)-1]
	}
	r.way = append(r.way, d)
}

// relink makes an entry a name of the file that first is. Where the tree is an
// overlay, mapping the first name copied the file up, and left the other names
// to the file below.
func (r *remapper) relink(e *dirtree.Entry, first inode.Ref) error {
	var dir unix.Stat_t
	if err := unix.Fstat(e.Dir, &dir); err != nil {
		return fmt.Errorf("stat its directory: %w", err)
	}
	if err := unix.Unlinkat(e.Dir, e.Name, 0); err != nil {
		return fmt.Errorf("unlink: %w", err)
	}
	if err := linkTo(&r.links, first, r.root, e.Dir, e.Name); err != nil {
		return fmt.Errorf("link to its first name: %w", err)
	}
	times := []unix.Timespec{dir.Atim, dir.Mtim}
	return unix.UtimesNanoAt(e.Dir, ".", times, 0)
}

// file maps the owner of one file, and the ids in its access control lists. The
// kernel takes setuid, setgid and capabilities from anything but a directory that
// changes its owner. It refuses a file that is immutable, or append-only, as a privileged
// container may make it: such a file is so again afterwards.
// It reports whether it changed anything, if it does not fail.
func (r *remapper) file(e *dirtree.Entry) (changed bool, err error) {
	f := ownedFile{Entry: e, fd: -1}
	if e.IsDir() || e.Stat.Mode&unix.S_IFMT == unix.S_IFREG {
		if f.fd, err = unix.Openat(e.Dir, e.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, unix.Close(f.fd)) }()
	}
	changed, err = r.change(f)
	if !errors.Is(err, unix.EPERM) || f.fd < 0 {
		return changed, err
	}
	lock, unlocked := f.unlock()
	if lock == nil {
		return false, errors.Join(err, unlocked)
	}
	changed, err = r.change(f)
	return changed, errors.Join(err, lock())
}

func (r *remapper) change(e ownedFile) (changed bool, err error) {
	uid, gid, err := r.mapIDs.Pair(e.Stat.Uid, e.Stat.Gid)
	if err != nil {
		return false, fmt.Errorf("map its owner: %w", err)
	}
	attrs, err := e.attrs()
	if err != nil {
		return false, err
	}
	var lost loss
	if kind := e.Stat.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFLNK && (uid != e.Stat.Uid || gid != e.Stat.Gid || attrs[noteXattr] != nil) {
		if lost, err = r.losses(e, attrs); err != nil {
			return false, err
		}
	}
	if changed = uid != e.Stat.Uid || gid != e.Stat.Gid; changed {
		if err := unix.Fchownat(e.Dir, e.Name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return false, fmt.Errorf("change its owner: %w", err)
		}
	}
	for name, value := range attrs {
		now, err := xattr.MapACL(xattr.Attr{Name: name, Value: value}, r.mapIDs)
		if err != nil {
			return false, fmt.Errorf("map ids of %s: %w", name, err)
		}
		if string(now) == string(value) {
			continue
		}
		changed = true
		if err := e.set(name, now); err != nil {
			return false, err
		}
	}
	return changed, lost.restore(e)
}

// loss is what a file loses with its owner.
type loss struct {
	mode  uint32 // setuid and setgid, with all others; 0 if it has neither
	caps  []byte
	noted bool // on the file
}

// noteXattr keeps a file's loss on the file: the mode as a little-endian word,
// and the capabilities behind it.
const noteXattr = "trusted.baleen.owner"

// losses says what a file is to have again, and notes it. A file whose attributes
// leave no room for the note goes without: that matters only if a crash comes just
// then.
func (r *remapper) losses(e ownedFile, attrs map[string][]byte) (l loss, err error) {
	if note := attrs[noteXattr]; len(note) >= 4 && r.notes {
		l.mode, l.noted = binary.LittleEndian.Uint32(note), true
		if len(note) > 4 {
			l.caps = note[4:]
		}
		return l, nil
	}
	if e.Stat.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		l.mode = e.Stat.Mode & 0o7777
	}
	l.caps = xattr.PlainCapability(attrs[capabilityXattr])
	if !r.notes || l.mode == 0 && l.caps == nil {
		return l, nil
	}
	note := append(binary.LittleEndian.AppendUint32(nil, l.mode), l.caps...)
	err = e.set(noteXattr, note)
	l.noted = err == nil
	for _, full := range []error{unix.ENOSPC, unix.E2BIG, unix.EDQUOT} {
		if errors.Is(err, full) {
			return l, nil
		}
	}
	return l, err
}

func (l loss) restore(e ownedFile) error {
	if l.mode != 0 {
		// Nobody else has the tree: what it names is no link.
		if err := unix.Fchmodat(e.Dir, e.Name, l.mode&0o7777, 0); err != nil {
			return fmt.Errorf("restore its mode: %w", err)
		}
	}
	if l.caps != nil {
		if err := e.set(capabilityXattr, l.caps); err != nil {
			return err
		}
	}
	if !l.noted {
		return nil
	}
	return e.drop(noteXattr)
}

// ownedFile is a file whose owner is mapped.
type ownedFile struct {
	*dirtree.Entry
	fd int // of a regular file or a directory; else -1
}

// proc leads to a file that is not opened, by its directory's descriptor, so it is
// never too long.
func (f ownedFile) proc() string { return fmt.Sprintf("/proc/self/fd/%d/%s", f.Dir, f.Name) }

// idAttrs are the attributes of a file in which ids are, or that go with its owner.
var idAttrs = []string{capabilityXattr, noteXattr, "system.posix_acl_access", defaultACL}

// attrs reads its idAttrs. They are asked for by name if there are many others: a
// list of more than 64 KiB cannot be had.
func (f ownedFile) attrs() (map[string][]byte, error) {
	if f.Stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, nil
	}
	var list [512]byte
	n, err := f.list(list[:])
	switch {
	case n == 0 && err == nil, errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.E2BIG):
	case err != nil:
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	has := strings.Split(string(list[:max(n, 0)]), "\x00")
	attrs := map[string][]byte{}
	for _, name := range idAttrs {
		if err == nil && !slices.Contains(has, name) {
			continue
		}
		value, err := f.get(name)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", name, err)
		}
		attrs[name] = value
	}
	return attrs, nil
}

func (f ownedFile) list(buf []byte) (int, error) {
	if f.fd < 0 {
		return unix.Llistxattr(f.proc(), buf)
	}
	return unix.Flistxattr(f.fd, buf)
}

func (f ownedFile) get(name string) ([]byte, error) {
	read := func(value []byte) (int, error) {
		if f.fd < 0 {
			return unix.Lgetxattr(f.proc(), name, value)
		}
		return unix.Fgetxattr(f.fd, name, value)
	}
	value := make([]byte, 256)
	n, err := read(value)
	if errors.Is(err, unix.ERANGE) {
		value = make([]byte, 64<<10) // the most that there is
		n, err = read(value)
	}
	return value[:max(n, 0)], err
}

func (f ownedFile) set(name string, value []byte) (err error) {
	if f.fd < 0 {
		err = unix.Lsetxattr(f.proc(), name, value, 0)
	} else {
		err = unix.Fsetxattr(f.fd, name, value, 0)
	}
	if err != nil {
		return fmt.Errorf("set attribute %s: %w", name, err)
	}
	return nil
}

func (f ownedFile) drop(name string) (err error) {
	if f.fd < 0 {
		err = unix.Lremovexattr(f.proc(), name)
	} else {
		err = unix.Fremovexattr(f.fd, name)
	}
	if err != nil {
		return fmt.Errorf("remove attribute %s: %w", name, err)
	}
	return nil
}

// unlock takes the flags from a file that keep it as it is, and returns what gives
// them back; nil if it has none.
func (f ownedFile) unlock() (lock func() error, err error) {
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	flags, err := unix.IoctlGetUint32(f.fd, unix.FS_IOC_GETFLAGS)
	if err != nil || flags&(immutable|appendOnly) == 0 {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(f.fd, unix.FS_IOC_SETFLAGS, int(flags&^(immutable|appendOnly))); err != nil {
		return nil, err
	}
	return func() error { return unix.IoctlSetPointerInt(f.fd, unix.FS_IOC_SETFLAGS, int(flags)) }, nil
}

const capabilityXattr = "security.capability"
