package snapshotter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/diff/inode"
)

const (
	// sealWorkers copy files while the walk goes on.
	sealWorkers = 2
	// sealBatch is how many files are handed to a worker at a time, and
	// sealQueue how many of those may wait: so many files are open at most,
	// twice each.
	sealBatch, sealQueue = 16, 6
	// sealTries is how often a file is copied that changes meanwhile, and all if
	// names go.
	sealTries = 3
)

// SealStats says what a seal copied.
type SealStats struct {
	changes.WalkStats
	Cloned bool  // by reference: the file system shares the data
	Linked int64 // apparent size of the files that were linked
	Root   bool  // the root directory itself is among the changes
	// Kept are the files that were not copied, since an earlier seal has a copy, and
	// KeptBytes their apparent size. They are no changes.
	Kept, KeptBytes int64
}

// Seal copies a container's changes into upper, an empty folder that becomes
// the upper of a snapshot on the container's image. What is written is just
// what a layer carries: times of whole seconds, no sockets, carried attributes
// only; so unpacking the layer gives the same.
//
// Where the file system can, data is shared and not copied (FICLONE).
// A file that changes while it is copied is tried again, and so is all if a name
// goes while the changes are walked: what it named may have moved to where the
// walk has been. Then it is an error, [diff.ErrChanged]. Nothing is synced to
// disk. On failure upper holds part of the changes, and is for the caller to
// remove.
func Seal(ctx context.Context, c changes.Walker, upper string) (SealStats, error) {
	return seal(ctx, c, upper, sealing{})
}

// SealWhole is Seal for an upper that the container itself goes on with, or goes back
// to: times are whole to the nanosecond. Changes of a [changes.Container] that is Whole
// have all attributes, too. No file is linked: programs refuse files that have another
// number of names than they gave them (cron its tables, mail programs a mailbox).
func SealWhole(ctx context.Context, c changes.Walker, upper string) (SealStats, error) {
	return seal(ctx, c, upper, sealing{times: wholeTimes})
}

// SealBelow is Seal for a container of which only the topmost layer may still be
// written: files of that size on, in bytes, of its own layers below that, which
// are sealed, are linked where they could only be copied otherwise. In upper they
// keep parts of seconds in their times, and have several names; those with
// attributes that a layer does not carry, or of a project, are copied.
//
// Changes of which the layer would be larger than limit allows are
// [diff.ErrOverLimit], before the file is copied with which they become so.
func SealBelow(ctx context.Context, c *changes.Container, upper string, from int64, limit diff.Limit) (SealStats, error) {
	if len(c.Uppers) < 2 {
		return Seal(ctx, changes.Limited(c, limit), upper)
	}
	if links, err := Links(c, upper); err != nil {
		return SealStats{}, err
	} else if !links {
		return Seal(ctx, changes.Limited(c, limit), upper)
	}
	return seal(ctx, changes.Limited(c, limit), upper, sealing{links: func(change *changes.Change) (bool, error) {
		if at := change.Layer(); at == 0 || at >= len(c.Uppers) || change.Stat.Size < from {
			return false, nil
		}
		return change.Plain()
	}})
}

// Links reports whether [SealBelow] would link files of a container into a folder, if
// they were sealed and large: not where data can be shared, nor files that count
// for a project.
func Links(c *changes.Container, into string) (bool, error) {
	if over, err := limited(c); err != nil || over {
		return false, err
	}
	clones, err := Clones(into)
	return !clones && err == nil, err
}

// sealing is how changes are sealed.
type sealing struct {
	// links says whether a regular file is linked, and not copied. A nil one says
	// so of none.
	links func(*changes.Change) (bool, error)
	// times are those that what is written gets for those that it has; nil is
	// wholeSeconds.
	times func(*unix.Stat_t) [2]unix.Timespec
	// live notes which copies can be trusted at the next seal; nil if none are.
	live *liveSeal
}

func seal(ctx context.Context, c changes.Walker, upper string, how sealing) (SealStats, error) {
	if how.times == nil {
		how.times = wholeSeconds
	}
	for try := 1; ; try++ {
		stats, again, err := sealOnce(ctx, c, upper, how)
		if err == nil || !again || try == sealTries {
			return stats, err
		}
		if err := dirtree.RemoveInside(ctx, upper); err != nil {
			return SealStats{}, fmt.Errorf("seal again: %w", err)
		}
	}
}

// sealOnce tells by again that it met a change in the middle, and no time was
// spent in vain on copying a file that goes on changing.
func sealOnce(ctx context.Context, c changes.Walker, upper string, how sealing) (_ SealStats, again bool, err error) {
	root, err := unix.Open(upper, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return SealStats{}, false, &fs.PathError{Op: "open", Path: upper, Err: err}
	}
	s := &sealer{
		jobs:  make(chan []copyJob, sealQueue),
		batch: make([]copyJob, 0, sealBatch),
		stack: []*sealDir{{name: ".", fd: root}},
		maker: newMaker(),
		how:   how,
	}
	defer func() { err = errors.Join(err, s.closeAll()) }()
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return SealStats{}, false, &fs.PathError{Op: "stat", Path: upper, Err: err}
	}
	s.stack[0].gid = st.Gid
	how.live.begin(root)
	if err := s.stack[0].takeDefaultACL(); err != nil {
		return SealStats{}, false, fmt.Errorf("seal: %w", err)
	}

	ctx, s.fail = context.WithCancelCause(ctx)
	defer s.fail(nil)
	var workers sync.WaitGroup
	workers.Add(sealWorkers)
	for range sealWorkers {
		go func() { defer workers.Done(); s.work(ctx) }()
	}
	stats, err := c.Walk(ctx, s.seal)
	if err == nil {
		err = s.leaveTo(0)
	}
	s.flush() // after a failure too: the workers close the files
	close(s.jobs)
	workers.Wait()
	// A worker's failure is also what ended the walk.
	if cause := context.Cause(ctx); cause != nil {
		return SealStats{}, false, cause
	}
	sealed := SealStats{WalkStats: stats, Cloned: s.cloner.did.Load(), Linked: s.linked, Root: s.rooted}
	sealed.Kept, sealed.KeptBytes = how.live.kept()
	return sealed, errors.Is(err, diff.ErrChanged), err
}

// sealer writes changes into an upper, in the order of a walk.
type sealer struct {
	jobs   chan []copyJob
	batch  []copyJob // not yet handed out
	links  inode.Links
	stack  []*sealDir // from the root to the directory last written
	lists  int        // bytes of the lists that they are to get
	cloner cloner
	rooted bool
	linked int64
	maker  maker
	how    sealing
	fail   context.CancelCauseFunc // ends it all with an error
}

// seal writes one change.
func (s *sealer) seal(c *changes.Change) error {
	depth := c.Depth()
	if depth == 0 {
		return s.root(c)
	}
	if err := s.leaveTo(depth); err != nil {
		return err
	}
	if len(s.stack) != depth {
		return fmt.Errorf("seal %s: the directory was not told before what is in it", c.Shown())
	}
	if err := s.write(c, s.stack[depth-1], c.Name()); err != nil {
		return fmt.Errorf("seal %s: %w", c.Shown(), err)
	}
	return nil
}

func (s *sealer) write(c *changes.Change, dir *sealDir, name string) error {
	dirfd := dir.fd
	if c.Kind == changes.Deleted {
		return unix.Mknodat(dirfd, name, unix.S_IFCHR, 0)
	}
	if c.IsDir() {
		return s.directory(c, dirfd, name)
	}
	if done, err := s.linkTo(c, dir, name); done || err != nil {
		return err
	}
	switch c.Type() {
	case unix.S_IFREG:
		return s.file(c, dir, name)
	case unix.S_IFLNK:
		target, err := c.Readlink()
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, dirfd, name); err != nil {
			return err
		}
		return s.finish(c, dirfd, name)
	default: // FIFOs and devices; a walk tells no sockets
		if err := unix.Mknodat(dirfd, name, c.Stat.Mode, int(c.Stat.Rdev)); err != nil {
			return err
		}
		return s.finish(c, dirfd, name)
	}
}

func (s *sealer) directory(c *changes.Change, dirfd int, name string) error {
	if err := unix.Mkdirat(dirfd, name, 0o700); err != nil {
		if c.Through() && errors.Is(err, unix.EEXIST) {
			return s.again(dirfd, name)
		}
		return err
	}
	inherited, err := describe(c, dirfd, name)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	times := s.how.times(&c.Stat)
	return s.enter(&sealDir{name: name, fd: fd, times: &times, defaultACL: inherited, gid: c.Stat.Gid})
}

// again goes down into a directory that has been written. It stays as it is.
func (s *sealer) again(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	d := &sealDir{name: name, fd: fd, times: &[2]unix.Timespec{st.Atim, st.Mtim}, gid: st.Gid}
	if err := d.takeDefaultACL(); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	return s.enter(d)
}

// linkTo makes a further name of a file that has been written already.
func (s *sealer) linkTo(c *changes.Change, dir *sealDir, name string) (bool, error) {
	if c.Stat.Nlink < 2 {
		return false, nil
	}
	first, err := s.links.Meet(&c.Stat)
	if err != nil {
		return false, err
	}
	if first == 0 {
		return false, addLink(&s.links, &c.Stat, dir, name)
	}
	return true, linkTo(&s.links, first, s.stack[0].fd, dir.fd, name)
}

// file makes a regular file and leaves its content to the workers, or links it.
func (s *sealer) file(c *changes.Change, dir *sealDir, name string) error {
	if linked, err := s.share(c, dir, name); linked || err != nil {
		return err
	}
	src, err := c.Content()
	if err != nil {
		return err
	}
	mode := c.Stat.Mode & 0o7777
	fd, err := unix.Openat(dir.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode&0o777)
	if err != nil {
		return errors.Join(err, unix.Close(src.FD))
	}
	owned := s.maker.owns(&c.Stat, dir.gid)
	s.batch = append(s.batch, copyJob{
		path: c.Shown(), src: src, dst: fd, stat: c.Stat,
		chown: !owned,
		chmod: !owned || mode&^0o777 != 0 || mode&s.maker.umask != 0, // a new owner clears setuid
		note:  s.how.live != nil && c.Layer() == 0,
	})
	if len(s.batch) == cap(s.batch) {
		s.flush()
	}
	return nil
}

// share makes a file's own name in a directory, if it is one to be shared and can
// be.
func (s *sealer) share(c *changes.Change, dir *sealDir, name string) (bool, error) {
	if s.how.links == nil {
		return false, nil
	}
	if wanted, err := s.how.links(c); !wanted || err != nil {
		return false, err
	}
	linked, err := c.Link(dir.fd, name)
	if linked {
		s.linked += c.Stat.Size
	}
	return linked, err
}

// flush hands the files that are waiting to the workers.
func (s *sealer) flush() {
	if len(s.batch) > 0 {
		s.jobs <- s.batch
		s.batch = make([]copyJob, 0, sealBatch)
	}
}

// finish sets all that an entry without content has.
func (s *sealer) finish(c *changes.Change, dirfd int, name string) error {
	if _, err := describe(c, dirfd, name); err != nil {
		return err
	}
	times := s.how.times(&c.Stat)
	return unix.UtimesNanoAt(dirfd, name, times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// defaultACL is the access control list that a directory gives to what is made
// in it.
const defaultACL = "system.posix_acl_default"

// describe sets owner, mode and attributes of anything but a regular file. It
// returns a directory's default access control list instead of setting it:
// before the directory is filled it would spread.
func describe(c *changes.Change, dirfd int, name string) (inherited []byte, err error) {
	if err := unix.Fchownat(dirfd, name, int(c.Stat.Uid), int(c.Stat.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	if c.Type() != unix.S_IFLNK {
		if err := unix.Fchmodat(dirfd, name, c.Stat.Mode&0o7777, 0); err != nil {
			return nil, err
		}
	}
	attrs, err := c.Xattrs()
	if err != nil {
		return nil, err
	}
	for _, a := range attrs {
		if a.Name == defaultACL {
			inherited = a.Value
			continue
		}
		p := strings.Join([]string{"/proc/self/fd", fmt.Sprint(dirfd), name}, "/")
		if err := unix.Lsetxattr(p, a.Name, a.Value, 0); err != nil {
			return nil, fmt.Errorf("set xattr %s: %w", a.Name, err)
		}
	}
	return inherited, nil
}

// wholeSeconds are the times that a layer carries: the modification's, rounded
// down, which also serves as the access's.
func wholeSeconds(st *unix.Stat_t) [2]unix.Timespec {
	t := unix.Timespec{Sec: st.Mtim.Sec}
	return [2]unix.Timespec{t, t}
}

// wholeTimes are the times that a file has, in full.
func wholeTimes(st *unix.Stat_t) [2]unix.Timespec { return [2]unix.Timespec{st.Atim, st.Mtim} }
