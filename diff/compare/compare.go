package compare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/text"
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
// seconds (rounded down), extended attributes (but for those of
// [dump.MayDiffer]; capabilities regardless of the user namespace they are tied to), and which names are hard
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
// a container. Contents are read piece by piece, those of files with several names
// once, and holes are skipped. In memory are the names in one directory, and the paths
// of files that have several.
func Trees(ctx context.Context, a, b string, opts Options) error {
	c := &comparison{ctx: ctx, opts: opts, contents: map[[2]file][]Difference{}}
	c.result.A, c.result.B = a, b
	for i, root := range []string{a, b} {
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("compare trees: %w", &fs.PathError{Op: "open", Path: root, Err: err})
		}
		c.dirs[i] = fd
		defer func() { unix.Close(c.dirs[i]) }()
		c.first[i] = map[file]string{}
	}
	if err := c.root(); err != nil {
		return fmt.Errorf("compare %s with %s: %w", a, b, err)
	}
	if c.result.Paths == 0 {
		return nil
	}
	return &c.result
}

// file is what a file is known by in its tree.
type file struct{ dev, ino uint64 }

func fileOf(st *unix.Stat_t) file { return file{st.Dev, st.Ino} }

// comparison is one call of Trees. Of each pair of things the first is
// A's, the second B's.
type comparison struct {
	ctx    context.Context
	opts   Options
	dirs   [2]int             // where the walk is
	way    []string           // the names that lead there
	first  [2]map[file]string // of a file with several names, the first that both trees have
	bufs   [2][128 << 10]byte
	result TreeDifference

	contents map[[2]file][]Difference // of two files that have several names
}

// pair is what is found under one name in the directories that the walk is in.
type pair struct {
	path string
	name string
	dirs [2]int
	stat [2]unix.Stat_t
}

func (p *pair) kind(side int) uint32 { return p.stat[side].Mode & unix.S_IFMT }

// proc is a path of the file for system calls that want one. Only its last
// element is a name, and so it leads nowhere else.
func (p *pair) proc(side int) string { return fmt.Sprintf("/proc/self/fd/%d/%s", p.dirs[side], p.name) }

func (c *comparison) root() error {
	p := &pair{path: "/", name: ".", dirs: c.dirs}
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
	return c.directories()
}

func (c *comparison) ignored(path string) bool {
	return c.opts.Ignore != nil && c.opts.Ignore(path)
}

// directories compares what the two directories hold that the walk is in.
func (c *comparison) directories() error {
	names, err := c.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		p := &pair{path: "/" + strings.Join(append(slices.Clip(c.way), name), "/"), name: name, dirs: c.dirs}
		if c.ignored(p.path) {
			continue
		}
		if down, err := c.pair(p); err != nil {
			return err
		} else if !down {
			continue
		}
		if err := c.below(name); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names in the two directories, each once, in order.
func (c *comparison) names() ([]string, error) {
	var all []string
	for _, fd := range c.dirs {
		again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, c.errorHere("open", err)
		}
		dir := os.NewFile(uintptr(again), "")
		names, err := dir.Readdirnames(-1)
		if err := errors.Join(err, dir.Close()); err != nil {
			return nil, c.errorHere("list", err)
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (c *comparison) errorHere(op string, err error) error {
	return &fs.PathError{Op: op, Path: "/" + text.Beginning(strings.Join(c.way, "/")), Err: err}
}

// below compares the two directories of a name, or what is mounted there. Of a deep tree
// only they are open meanwhile, and the way back is "..".
func (c *comparison) below(name string) error {
	c.way = append(c.way, name)
	var were [2]unix.Stat_t
	for side := range were {
		if err := unix.Fstat(c.dirs[side], &were[side]); err != nil {
			return c.errorHere("stat", err)
		}
		if err := c.enter(side, name, unix.O_NOFOLLOW); err != nil {
			return err
		}
	}
	if err := c.directories(); err != nil {
		return err
	}
	for side := range were {
		if err := c.enter(side, "..", 0); err != nil {
			return err
		}
		var is unix.Stat_t
		if err := unix.Fstat(c.dirs[side], &is); err != nil {
			return c.errorHere("stat", err)
		}
		if fileOf(&is) != fileOf(&were[side]) {
			return c.errorHere("leave", diff.ErrChanged)
		}
	}
	c.way = c.way[:len(c.way)-1]
	return nil
}

// enter goes on in another directory.
func (c *comparison) enter(side int, name string, flags int) error {
	fd, err := unix.Openat(c.dirs[side], name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return c.errorHere("open", changed(err))
	}
	unix.Close(c.dirs[side])
	c.dirs[side] = fd
	return nil
}

// mapOwner maps the owner of A's file.
func (c *comparison) mapOwner(p *pair, side int) (err error) {
	if side != 0 {
		return nil
	}
	st := &p.stat[0]
	st.Uid, st.Gid, err = c.opts.MapA.Pair(st.Uid, st.Gid)
	return err
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
		found = append(found, c.hardLinks(p)...)
	}
	c.report(p.path, found)
	return same && p.kind(0) == unix.S_IFDIR, nil
}

// hardLinks compares which earlier name, if any, is the same file. As both
// sides are walked in one order and only names on both count, the two sides'
// names fall into the same groups if and only if this is equal everywhere.
func (c *comparison) hardLinks(p *pair) []Difference {
	var first [2]string // "" where this is the first
	for side := range first {
		st := &p.stat[side]
		if st.Nlink < 2 {
			continue
		}
		if first[side] = c.first[side][fileOf(st)]; first[side] == "" {
			c.first[side][fileOf(st)] = p.path
		}
	}
	if first[0] == first[1] {
		return nil
	}
	words := func(path string) string {
		if path == "" {
			return "a file of its own"
		}
		return "the same file as " + text.Printable(path)
	}
	return []Difference{{Aspect: HardLinks, A: words(first[0]), B: words(first[1])}}
}
