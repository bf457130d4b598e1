package compare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Options says what Trees is to overlook. The zero value overlooks
// nothing that a layer carries, except that B may lack sockets.
type Options struct {
	// Ignore reports paths to leave out, with all that is below them. Paths
	// begin with a slash; "/" is the root.
	Ignore func(path string) bool
	// IgnoreRoot leaves out the metadata of the root directory itself.
	IgnoreRoot bool
	// Accept reports differences that are expected; they do not count.
	Accept func(Difference) bool
	// MapA maps the ids of A's files, owners and those in access control lists;
	// nil leaves them.
	MapA idmap.Func
	// Sockets demands that B has A's sockets, which layers never carry.
	Sockets bool
	// Holes demands that B has not turned holes of A, 1 MiB or more in a file
	// altogether, into data on disk.
	Holes bool
	// MaxDifferences is how many paths the result lists: 20 if zero, all if
	// negative. The others are counted.
	MaxDifferences int
}

// Trees compares two directory trees, A and B, in all that a layer
// carries: which names there are, types, contents, sizes, modes with all twelve
// bits, owners, device numbers, link targets, modification times in whole
// seconds (rounded down), extended attributes (see [xattr.Carried]; capabilities
// regardless of the user namespace they are tied to), and which names are hard
// links of one file. Times of access and change, inode numbers, the order and
// the size of directories do not count.
//
// The result is nil, or a *[TreeDifference] that lists what differs, or another
// error if the trees could not be compared, for example [diff.ErrChanged] because one
// of them was written meanwhile.
//
// The trees are walked by descriptors: a and b may be links to directories,
// below them no link is followed. What is mounted within a tree is part of it;
// leave it out with Ignore, /proc and /sys of a running container above all.
// Both need to be readable in full, which takes root for the root file system of
// a container. Contents are read piece by piece, holes are skipped, and memory
// grows with the depth of the trees only. Names of many files that have several go to a
// temporary file, see package inode.
func Trees(ctx context.Context, a, b string, opts Options) (err error) {
	c := &comparison{ctx: ctx, opts: opts}
	defer func() { err = errors.Join(err, c.names.Close(), c.groups[0].Close(), c.groups[1].Close()) }()
	c.result.A, c.result.B = a, b
	for i, root := range []string{a, b} {
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("compare trees: %w", &fs.PathError{Op: "open", Path: root, Err: err})
		}
		defer unix.Close(fd)
		c.roots[i] = fd
	}
	if err := c.root(); err != nil {
		return fmt.Errorf("compare %s with %s: %w", a, b, err)
	}
	if c.result.Paths == 0 {
		return nil
	}
	return &c.result
}

// comparison is one call of Trees. Of each pair of things the first is
// A's, the second B's.
type comparison struct {
	ctx    context.Context
	opts   Options
	roots  [2]int
	groups [2]inode.Table // of a file with several names, the first, as it is in names
	names  inode.Names
	dirs   inode.Dirs // of names
	bufs   [2][128 << 10]byte
	result TreeDifference
}

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
	return tree.ProcPath(p.dirs[side], p.name)
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
	return c.trees()
}

func (c *comparison) ignored(path string) bool {
	return c.opts.Ignore != nil && c.opts.Ignore(path)
}

// trees compares what the two roots hold.
func (c *comparison) trees() error {
	way := tree.NewDescent[struct{}](openMounted, openMounted)
	defer way.Close()
	var roots [2]*tree.Dir
	for side := range roots {
		var err error
		if roots[side], err = tree.ReopenedDir(c.roots[side]); err != nil {
			return err
		}
		defer roots[side].Close()
	}
	way.Push("", struct{}{}, roots[0], roots[1])
	both := func() []int {
		l := way.Top()
		return []int{l.Dirs[0].FD(), l.Dirs[1].FD()}
	}
	for {
		name, ok, err := way.Next(both)
		switch {
		case err != nil:
			path, _ := way.PathOf(len(way.Levels) - 1)
			return &fs.PathError{Op: "list", Path: "/" + text.Beginning(path), Err: err}
		case ok:
			if err = c.ctx.Err(); err == nil {
				err = c.name(way, name)
			}
		case len(way.Levels) == 1:
			return nil
		default:
			err = way.Pop()
		}
		if err != nil {
			return err
		}
	}
}

// name compares what is there under a name of the directories that the walk is in.
func (c *comparison) name(way *tree.Descent[struct{}], name string) error {
	l := way.Top()
	p := &pair{path: "/" + way.Full(name), name: name, dirs: [2]int{l.Dirs[0].FD(), l.Dirs[1].FD()}}
	if c.ignored(p.path) {
		return nil
	}
	down, err := c.pair(p)
	if err != nil || !down {
		return err
	}
	var subs [2]*tree.Dir
	for side := range subs {
		if subs[side], err = openMounted(l.Dirs[side], name); err != nil {
			subs[0].Close()
			return &fs.PathError{Op: "open", Path: p.path, Err: tree.Raced(err)}
		}
	}
	way.Push(name, struct{}{}, subs[0], subs[1])
	return nil
}

// openMounted opens a directory, or what is mounted there.
func openMounted(at *tree.Dir, name string) (*tree.Dir, error) {
	fd, err := unix.Openat(at.FD(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return tree.OpenedDir(fd)
}

// mapOwner maps the owner of A's file.
func (c *comparison) mapOwner(p *pair, side int) error {
	if side != 0 {
		return nil
	}
	return idmap.MapStat(&p.stat[0], c.opts.MapA)
}

// pair compares what is there under one name. down says that there are directories,
// whose content is to be compared.
func (c *comparison) pair(p *pair) (down bool, err error) {
	var there [2]bool
	for side := range p.stat {
		err := unix.Fstatat(p.dirs[side], p.name, &p.stat[side], unix.AT_SYMLINK_NOFOLLOW)
		if err == nil {
			err = c.mapOwner(p, side)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, &fs.PathError{Op: "stat", Path: p.path, Err: err}
		}
		there[side] = err == nil
	}
	switch {
	case there[0] && there[1]:
		return c.both(p)
	case there[0] && (p.kind(0) != unix.S_IFSOCK || c.opts.Sockets):
		c.report(p.path, []Difference{{Aspect: Presence, A: text.KindName(p.kind(0)), B: "nothing"}})
	case there[1]:
		c.report(p.path, []Difference{{Aspect: Presence, A: "nothing", B: text.KindName(p.kind(1))}})
	}
	return false, nil
}

func (c *comparison) both(p *pair) (down bool, err error) {
	found, err := c.metadata(p)
	if err != nil {
		return false, err
	}
	same := p.kind(0) == p.kind(1)
	if same && p.kind(0) == unix.S_IFREG {
		more, err := c.file(p)
		if err != nil {
			return false, err
		}
		found = append(found, more...)
	}
	if p.kind(0) != unix.S_IFDIR && p.kind(1) != unix.S_IFDIR {
		more, err := c.hardLinks(p)
		if err != nil {
			return false, err
		}
		found = append(found, more...)
	}
	c.report(p.path, found)
	return same && p.kind(0) == unix.S_IFDIR, nil
}

// hardLinks compares which earlier name, if any, is the same file. As both
// sides are walked in one order and only names on both count, the two sides'
// names fall into the same groups if and only if this is equal everywhere.
func (c *comparison) hardLinks(p *pair) ([]Difference, error) {
	var first [2]inode.Ref // 0 where this is the first
	var this inode.Ref
	for side := range first {
		st := &p.stat[side]
		if st.Nlink < 2 {
			continue
		}
		known, err := c.groups[side].Get(inode.Of(st))
		if err != nil {
			return nil, err
		}
		if first[side] = inode.Ref(known[0]); first[side] != 0 {
			continue
		}
		if this == 0 {
			dir, name, err := c.dirs.Split(&c.names, p.path[1:])
			if err != nil {
				return nil, err
			}
			if this, err = c.names.Name(dir, name); err != nil {
				return nil, err
			}
		}
		if err := c.groups[side].Set(inode.Of(st), inode.Value{uint64(this)}); err != nil {
			return nil, err
		}
	}
	if first[0] == first[1] {
		return nil, nil
	}
	var words [2]string
	for side := range words {
		if words[side] = "a file of its own"; first[side] == 0 {
			continue
		}
		path, err := c.names.Path(first[side])
		if err != nil {
			return nil, err
		}
		words[side] = "the same file as " + text.Printable("/"+path)
	}
	return []Difference{{Aspect: HardLinks, A: words[0], B: words[1]}}, nil
}
