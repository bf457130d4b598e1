package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
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
			var err error
			if targets[side], err = tree.ReadlinkAt(p.dirs[side], p.name); err != nil {
				return nil, &fs.PathError{Op: "readlink", Path: p.path, Err: err}
			}
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

// xattrs merges two lists that are in the order of their names.
func (c *comparison) xattrs(p *pair) ([]Difference, error) {
	var lists [2][]xattr.Attr
	for side := range lists {
		var err error
		if lists[side], err = xattr.ReadCarried(p.proc(side)); err != nil {
			return nil, &fs.PathError{Op: "read", Path: p.path, Err: err}
		}
	}
	if err := xattr.MapACLs(lists[0], c.opts.MapA); err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	var found []Difference
	a, b := lists[0], lists[1]
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			found = append(found, Difference{Aspect: ExtendedAttribute, Xattr: a[0].Name, A: excerpt(a[0].Value), B: "none"})
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			found = append(found, Difference{Aspect: ExtendedAttribute, Xattr: b[0].Name, A: "none", B: excerpt(b[0].Value)})
			b = b[1:]
		default:
			if !bytes.Equal(a[0].Value, b[0].Value) {
				found = append(found, Difference{Aspect: ExtendedAttribute, Xattr: a[0].Name, A: excerpt(a[0].Value), B: excerpt(b[0].Value)})
			}
			a, b = a[1:], b[1:]
		}
	}
	return found, nil
}

// excerpt is the beginning of something long.
func excerpt(value []byte) string {
	const enough = 64
	if len(value) > enough {
		return strconv.Quote(string(value[:enough])) + "..."
	}
	return strconv.Quote(string(value))
}

// file compares what only regular files have.
func (c *comparison) file(p *pair) ([]Difference, error) {
	a, b := &p.stat[0], &p.stat[1]
	var found []Difference
	if a.Size != b.Size {
		found = append(found, Difference{Aspect: Size, A: strconv.FormatInt(a.Size, 10), B: strconv.FormatInt(b.Size, 10)})
	} else if inode.Of(a) != inode.Of(b) {
		more, err := c.content(p)
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

// openCompared opens a regular file, or the one that is mounted on it.
func openCompared(p *pair, side int) (int, error) {
	fd, err := unix.Openat(p.dirs[side], p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: p.path, Err: tree.Raced(err)}
	}
	return tree.OpenLooked(fd, p.path)
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
		at = min(tree.NextData(fds[0], at, p.stat[0].Size), tree.NextData(fds[1], at, p.stat[1].Size))
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
