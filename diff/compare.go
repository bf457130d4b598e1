package diff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// CompareOptions says what CompareTrees is to overlook. The zero value overlooks
// nothing that a layer carries, except that B may lack sockets.
type CompareOptions struct {
	// Ignore reports paths to leave out, with all that is below them. Paths
	// begin with a slash; "/" is the root.
	Ignore func(path string) bool
	// IgnoreRoot leaves out the metadata of the root directory itself.
	IgnoreRoot bool
	// Accept reports differences that are expected; they do not count.
	Accept func(Difference) bool
	// MapA maps the ids of A's files, owners and those in access control lists;
	// nil leaves them.
	MapA MapFunc
	// Sockets demands that B has A's sockets, which layers never carry.
	Sockets bool
	// Holes demands that B has not turned holes of A, 1 MiB or more in a file
	// altogether, into data on disk.
	Holes bool
	// MaxDifferences is how many paths the result lists: 20 if zero, all if
	// negative. The others are counted.
	MaxDifferences int
}

// CompareTrees compares two directory trees, A and B, in all that a layer
// carries: which names there are, types, contents, sizes, modes with all twelve
// bits, owners, device numbers, link targets, modification times in whole
// seconds (rounded down), extended attributes (see [Carried]; capabilities
// regardless of the user namespace they are tied to), and which names are hard
// links of one file. Times of access and change, inode numbers, the order and
// the size of directories do not count.
//
// The result is nil, or a *[TreeDifference] that lists what differs, or another
// error if the trees could not be compared, for example [ErrChanged] because one
// of them was written meanwhile.
//
// The trees are walked by descriptors: a and b may be links to directories,
// below them no link is followed. What is mounted within a tree is part of it;
// leave it out with Ignore, /proc and /sys of a running container above all.
// Both need to be readable in full, which takes root for the root file system of
// a container. Contents are read piece by piece, holes are skipped, and memory
// grows with the depth of the trees and with the number of hard links only.
func CompareTrees(ctx context.Context, a, b string, opts CompareOptions) error {
	c := &comparison{ctx: ctx, opts: opts}
	c.result.A, c.result.B = a, b
	for i, root := range []string{a, b} {
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("compare trees: %w", &fs.PathError{Op: "open", Path: root, Err: err})
		}
		defer unix.Close(fd)
		c.roots[i] = fd
		c.groups[i] = map[fileID]string{}
	}
	if err := c.root(); err != nil {
		return fmt.Errorf("compare %s with %s: %w", a, b, err)
	}
	if c.result.Paths == 0 {
		return nil
	}
	return &c.result
}

// comparison is one call of CompareTrees. Of each pair of things the first is
// A's, the second B's.
type comparison struct {
	ctx    context.Context
	opts   CompareOptions
	roots  [2]int
	groups [2]map[fileID]string // the first path of a file with several
	bufs   [2][128 << 10]byte
	result TreeDifference
}

// fileID names a file whatever its path.
type fileID struct{ dev, ino uint64 }

// pair is what is found under one name on both sides.
type pair struct {
	path string
	name string // in the directories
	dirs [2]int
	stat [2]unix.Stat_t
}

func (p *pair) kind(side int) uint32 { return p.stat[side].Mode & unix.S_IFMT }

// proc is a path of the file for system calls that want one. Only its last
// element is a name, and so it leads nowhere else.
func (p *pair) proc(side int) string {
	return "/proc/self/fd/" + strconv.Itoa(p.dirs[side]) + "/" + p.name
}

func (c *comparison) root() error {
	p := &pair{path: "/", name: ".", dirs: c.roots}
	if c.ignored(p.path) {
		return nil
	}
	for side := range p.stat {
		err := unix.Fstat(p.dirs[side], &p.stat[side])
		if err == nil {
			err = c.mapOwner(p, side)
		}
		if err != nil {
			return &fs.PathError{Op: "stat", Path: p.path, Err: err}
		}
	}
	if !c.opts.IgnoreRoot {
		found, err := c.metadata(p)
		if err != nil {
			return err
		}
		c.report(p.path, found)
	}
	return c.directory(p.path, c.roots)
}

func (c *comparison) ignored(path string) bool {
	return c.opts.Ignore != nil && c.opts.Ignore(path)
}

// directory compares what two open directories hold.
func (c *comparison) directory(path string, fds [2]int) error {
	if path != "/" {
		path += "/"
	}
	names := newNameReader(fds[:], c.bufs[0][:])
	for {
		some, err := names.next()
		if err != nil {
			return &fs.PathError{Op: "list", Path: path, Err: err}
		}
		if len(some) == 0 {
			return nil
		}
		for _, name := range some {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			p := &pair{path: path + name, name: name, dirs: fds}
			if c.ignored(p.path) {
				continue
			}
			if err := c.pair(p); err != nil {
				return err
			}
		}
	}
}

// mapOwner maps the owner of A's file.
func (c *comparison) mapOwner(p *pair, side int) error {
	if side != 0 {
		return nil
	}
	return mapStat(&p.stat[0], c.opts.MapA)
}

// pair compares what is there under one name, and below it.
func (c *comparison) pair(p *pair) error {
	var there [2]bool
	for side := range p.stat {
		err := unix.Fstatat(p.dirs[side], p.name, &p.stat[side], unix.AT_SYMLINK_NOFOLLOW)
		if err == nil {
			err = c.mapOwner(p, side)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &fs.PathError{Op: "stat", Path: p.path, Err: err}
		}
		there[side] = err == nil
	}
	switch {
	case there[0] && there[1]:
		return c.both(p)
	case there[0] && (p.kind(0) != unix.S_IFSOCK || c.opts.Sockets):
		c.report(p.path, []Difference{{Aspect: Presence, A: kindName(p.kind(0)), B: "nothing"}})
	case there[1]:
		c.report(p.path, []Difference{{Aspect: Presence, A: "nothing", B: kindName(p.kind(1))}})
	}
	return nil
}

func (c *comparison) both(p *pair) error {
	found, err := c.metadata(p)
	if err != nil {
		return err
	}
	same := p.kind(0) == p.kind(1)
	if same && p.kind(0) == unix.S_IFREG {
		more, err := c.file(p)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if p.kind(0) != unix.S_IFDIR && p.kind(1) != unix.S_IFDIR {
		found = append(found, c.hardLinks(p)...)
	}
	c.report(p.path, found)
	if same && p.kind(0) == unix.S_IFDIR {
		return c.descend(p)
	}
	return nil
}

// descend compares two directories' content.
func (c *comparison) descend(p *pair) error {
	var fds [2]int
	for side := range fds {
		fd, err := openBelow(p, side, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		fds[side] = fd
	}
	return c.directory(p.path, fds)
}

// openBelow opens a file for reading, never a link, and never waits for the
// other end of a FIFO that has taken the file's place.
func openBelow(p *pair, side, flags int) (int, error) {
	for {
		fd, err := unix.Openat(p.dirs[side], p.name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &fs.PathError{Op: "open", Path: p.path, Err: err}
		}
	}
}

// hardLinks compares which earlier name, if any, is the same file. As both
// sides are walked in one order and only names on both count, the two sides'
// names fall into the same groups if and only if this is equal everywhere.
func (c *comparison) hardLinks(p *pair) []Difference {
	var first [2]string
	for side := range first {
		st := &p.stat[side]
		first[side] = p.path
		if st.Nlink < 2 {
			continue
		}
		id := fileID{st.Dev, st.Ino}
		if known, ok := c.groups[side][id]; ok {
			first[side] = known
		} else {
			c.groups[side][id] = p.path
		}
	}
	if first[0] == first[1] {
		return nil
	}
	text := func(side int) string {
		if first[side] == p.path {
			return "a file of its own"
		}
		return "the same file as " + printable(first[side])
	}
	return []Difference{{Aspect: HardLinks, A: text(0), B: text(1)}}
}
