package compare

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/integration/dump"
)

// metadata compares all but contents. Between files of different types only the
// type counts.
func (c *comparison) metadata(p *pair) ([]Difference, error) {
	a, b := &p.stat[0], &p.stat[1]
	if p.kind(0) != p.kind(1) {
		return []Difference{{Aspect: Type, A: text.KindName(p.kind(0)), B: text.KindName(p.kind(1))}}, nil
	}
	var found []Difference
	differ := func(aspect Aspect, x, y string) {
		if x != y {
			found = append(found, Difference{Aspect: aspect, A: x, B: y})
		}
	}
	if p.kind(0) != unix.S_IFLNK { // a link's mode means nothing
		differ(Mode, modeText(a), modeText(b))
	}
	differ(Owner, ownerText(a), ownerText(b))
	differ(ModTime, timeText(a), timeText(b))
	switch p.kind(0) {
	case unix.S_IFCHR, unix.S_IFBLK:
		differ(Device, deviceText(a), deviceText(b))
	case unix.S_IFLNK:
		var targets [2]string
		for side := range targets {
			var target [unix.PathMax]byte
			n, err := unix.Readlinkat(p.dirs[side], p.name, target[:])
			if err != nil {
				return nil, &fs.PathError{Op: "readlink", Path: p.path, Err: err}
			}
			targets[side] = string(target[:n])
		}
		differ(Target, strconv.Quote(targets[0]), strconv.Quote(targets[1]))
	}
	more, err := c.xattrs(p)
	return append(found, more...), err
}

func modeText(st *unix.Stat_t) string  { return fmt.Sprintf("%04o", st.Mode&0o7777) }
func ownerText(st *unix.Stat_t) string { return fmt.Sprintf("%d:%d", st.Uid, st.Gid) }
func deviceText(st *unix.Stat_t) string {
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
}

// timeText is the time in whole seconds. The nanoseconds count upwards also
// before 1970, so to leave them out is to round down.
func timeText(st *unix.Stat_t) string {
	return time.Unix(st.Mtim.Sec, 0).UTC().Format(time.RFC3339)
}

// xattrs compares all extended attributes but those of dump.MayDiffer.
func (c *comparison) xattrs(p *pair) ([]Difference, error) {
	var lists [2]map[string]string
	names := map[string]bool{}
	for side := range lists {
		var err error
		if lists[side], err = dump.Attributes(p.proc(side)); err != nil {
			return nil, &fs.PathError{Op: "read", Path: p.path, Err: err}
		}
		for name, value := range lists[side] {
			if dump.MayDiffer(name) {
				continue
			}
			names[name] = true
			switch {
			case name == "security.capability":
				lists[side][name] = capabilities(value)
			case side == 0 && strings.HasPrefix(name, "system.posix_acl_"):
				if lists[side][name], err = mapACL(value, c.opts.MapA); err != nil {
					return nil, fmt.Errorf("%s: map ids of %s: %w", p.path, name, err)
				}
			}
		}
	}
	var found []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, inA := lists[0][name]
		b, inB := lists[1][name]
		if inA != inB || a != b {
			found = append(found, Difference{Aspect: ExtendedAttribute, Xattr: name, A: excerpt(a, inA), B: excerpt(b, inB)})
		}
	}
	return found, nil
}

// capabilities leaves out the user namespace that capabilities are tied to: revision 3
// of struct vfs_ns_cap_data is revision 2 and the id of that namespace's root
// (linux/capability.h).
func capabilities(value string) string {
	if len(value) == 24 && value[3] == 3 {
		return value[:3] + "\x02" + value[4:20]
	}
	return value
}

// mapACL maps the ids of named users and groups in an access control list: after four
// bytes of version come entries of tag, permissions and id (linux/posix_acl_xattr.h).
func mapACL(value string, f idmap.Func) (string, error) {
	if f == nil {
		return value, nil
	}
	list := []byte(value)
	for e := 4; e+8 <= len(list); e += 8 {
		id := binary.LittleEndian.Uint32(list[e+4:])
		var err error
		switch tag := binary.LittleEndian.Uint16(list[e:]); tag {
		case 0x02: // ACL_USER
			id, err = f(id, idmap.UserID)
		case 0x08: // ACL_GROUP
			id, err = f(id, idmap.GroupID)
		}
		if err != nil {
			return "", err
		}
		binary.LittleEndian.PutUint32(list[e+4:], id)
	}
	return string(list), nil
}

// excerpt is the beginning of a value, if there is one.
func excerpt(value string, there bool) string {
	const enough = 64
	switch {
	case !there:
		return "none"
	case len(value) > enough:
		return strconv.Quote(value[:enough]) + "..."
	}
	return strconv.Quote(value)
}

// file compares what only regular files have.
func (c *comparison) file(p *pair) ([]Difference, error) {
	a, b := &p.stat[0], &p.stat[1]
	var found []Difference
	if a.Size != b.Size {
		found = append(found, Difference{Aspect: Size, A: strconv.FormatInt(a.Size, 10), B: strconv.FormatInt(b.Size, 10)})
	} else if fileOf(a) != fileOf(b) {
		more, err := c.contentOnce(p)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	const (
		block = 512 // the unit of st_blocks, whatever the file system's
		large = 1 << 20
	)
	if c.opts.Holes && a.Blocks*block <= a.Size-large && (b.Blocks-a.Blocks)*block >= large {
		found = append(found, Difference{Aspect: Holes, A: strconv.FormatInt(a.Blocks*block, 10), B: strconv.FormatInt(b.Blocks*block, 10)})
	}
	return found, nil
}

// openCompared opens a regular file, or the one that is mounted on it. Something else
// that has taken its place meanwhile is not opened: that would wait for a writer of a
// FIFO, or make a device act.
func openCompared(p *pair, side int) (int, error) {
	place, err := unix.Openat(p.dirs[side], p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: p.path, Err: changed(err)}
	}
	defer unix.Close(place)
	var st unix.Stat_t
	if err := unix.Fstat(place, &st); err != nil {
		return -1, &fs.PathError{Op: "stat", Path: p.path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, &fs.PathError{Op: "open", Path: p.path, Err: diff.ErrChanged}
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", place), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: p.path, Err: err}
	}
	return fd, nil
}

// changed gives an error for what is not there any more, or is of another type, the
// class of diff.ErrChanged.
func changed(err error) error {
	for _, race := range []error{unix.ELOOP, unix.ENOTDIR, unix.ENOENT, unix.ESTALE} {
		if errors.Is(err, race) {
			return fmt.Errorf("%w: %w", diff.ErrChanged, err)
		}
	}
	return err
}

// nextData returns where the data of a file go on from an offset: its size if there are
// only holes, and the offset itself where holes are not known.
func nextData(fd int, at, size int64) int64 {
	next, err := unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return at
	}
	return min(next, size)
}

// contentOnce compares two regular files of one size. Of two files that share several
// names, such as the applets of busybox, it reads the contents at the first one.
func (c *comparison) contentOnce(p *pair) ([]Difference, error) {
	both := [2]file{fileOf(&p.stat[0]), fileOf(&p.stat[1])}
	if found, ok := c.contents[both]; ok {
		return found, nil
	}
	found, err := c.content(p)
	if err == nil && p.stat[0].Nlink > 1 && p.stat[1].Nlink > 1 {
		c.contents[both] = found
	}
	return found, err
}

// content compares two regular files of one size.
func (c *comparison) content(p *pair) ([]Difference, error) {
	var fds [2]int
	for side := range fds {
		fd, err := openCompared(p, side)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		fds[side] = fd
	}
	for at := int64(0); ; {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		at = min(nextData(fds[0], at, p.stat[0].Size), nextData(fds[1], at, p.stat[1].Size))
		if at >= p.stat[0].Size {
			return nil, nil
		}
		var pieces [2][]byte
		for side := range pieces {
			var err error
			if pieces[side], err = c.read(side, fds[side], at, p.stat[side].Size); err != nil {
				return nil, &fs.PathError{Op: "read", Path: p.path, Err: err}
			}
		}
		if i := firstDifference(pieces[0], pieces[1]); i >= 0 {
			const shown = 16
			text := func(side int) string { return strconv.Quote(string(pieces[side][i:min(i+shown, len(pieces[side]))])) }
			return []Difference{{Aspect: Content, Offset: at + int64(i), A: text(0), B: text(1)}}, nil
		}
		at += int64(len(pieces[0]))
	}
}

// read reads a piece of a file. One that ends before its size changed.
func (c *comparison) read(side, fd int, at, size int64) ([]byte, error) {
	piece := c.bufs[side][:min(int64(len(c.bufs[side])), size-at)]
	for done := 0; done < len(piece); {
		n, err := unix.Pread(fd, piece[done:], at+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n == 0:
			return nil, diff.ErrChanged
		}
		done += max(n, 0)
	}
	return piece, nil
}

// firstDifference is the index of the first byte that differs, or -1. Both are
// of one length.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}
