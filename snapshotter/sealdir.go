package snapshotter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/inode"
	"github.com/baleen-project/baleen/diff/xattr"
)

const (
	// sealOpen is how many directories of those that are being written are open.
	sealOpen = 32
	// sealLists bounds the access control lists, in bytes, that are kept until
	// directories have been written. A list takes up to 64 KiB.
	sealLists = 8 << 20
	// maxPath is how long a path the kernel takes, with what ends it (PATH_MAX).
	maxPath = 4096
)

// sealDir is a directory whose contents are being written. What they would
// change, or take over from it, it gets when it is left.
type sealDir struct {
	name       string
	above      *sealDir // nil for the root
	fd         int      // -1 while it is closed, to be opened again
	ino        uint64
	times      *[2]unix.Timespec // nil for a root: its time is the snapshot's
	defaultACL []byte            // nil if it has none
	gid        uint32            // what is made in it may get this group
	ref        inode.Ref         // by which it is kept, if it is
}

// enter goes down into a directory that has been made, and closes one further up.
func (s *sealer) enter(d *sealDir) error {
	d.above = s.stack[len(s.stack)-1]
	s.stack = append(s.stack, d)
	if s.lists += len(d.defaultACL); s.lists > sealLists {
		return fmt.Errorf("xattr %s of the directories on the way takes more than %d bytes: %w", defaultACL, sealLists, xattr.ErrTooLarge)
	}
	if far := len(s.stack) - 1 - sealOpen; far > 0 {
		return s.stack[far].shut()
	}
	return nil
}

// shut closes a directory that will be opened again by what is in it.
func (d *sealDir) shut() error {
	if d.fd < 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return err
	}
	fd := d.fd
	d.ino, d.fd = st.Ino, -1
	return unix.Close(fd)
}

// reopen opens a directory again, by the one in it that is about to be left.
func (d *sealDir) reopen(inside int) error {
	fd, err := unix.Openat(inside, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Ino != d.ino {
		err = diff.ErrChanged // nobody else knows the folder
	}
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	d.fd = fd
	return nil
}

// leaveTo leaves directories until as many are left, with the root.
func (s *sealer) leaveTo(depth int) error {
	for len(s.stack) > depth {
		last := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		s.lists -= len(last.defaultACL)
		err := last.leave()
		if err == nil && last.above != nil && last.above.fd < 0 {
			err = last.above.reopen(last.fd)
		}
		if err = errors.Join(err, unix.Close(last.fd)); err != nil {
			return fmt.Errorf("seal directory %s: %w", last.path(), err)
		}
	}
	return nil
}

// path is that of a directory, for people. Of a long one it is the end.
func (d *sealDir) path() string {
	var names []string
	length := 0
	for at := d; at.above != nil; at = at.above {
		if length += len("/") + len(at.name); length > maxPath {
			names = append(names, "...")
			break
		}
		names = append(names, at.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

func (d *sealDir) leave() error {
	if d.defaultACL != nil {
		if err := unix.Fsetxattr(d.fd, defaultACL, d.defaultACL, 0); err != nil {
			return fmt.Errorf("set xattr %s: %w", defaultACL, err)
		}
	}
	if d.times == nil {
		return nil
	}
	return unix.UtimesNanoAt(d.fd, ".", d.times[:], 0)
}

func (s *sealer) closeAll() error {
	for _, d := range s.stack {
		if d.fd >= 0 {
			_ = unix.Close(d.fd)
		}
	}
	s.stack = nil
	return s.links.Close()
}

// keep returns the directory as it is kept in names, with those that it is in.
func (d *sealDir) keep(names *inode.Names) (inode.Ref, error) {
	var unknown []*sealDir
	at := d
	for ; at.above != nil && at.ref == 0; at = at.above {
		unknown = append(unknown, at)
	}
	ref := at.ref
	for _, u := range slices.Backward(unknown) {
		var err error
		if ref, err = names.Dir(ref, u.name); err != nil {
			return 0, err
		}
		u.ref = ref
	}
	return ref, nil
}

// addLink keeps the first name of a file of several names.
func addLink(links *inode.Links, st *unix.Stat_t, dir *sealDir, name string) error {
	ref, err := dir.keep(&links.Names)
	if err != nil {
		return err
	}
	return links.Add(st, ref, name)
}

// linkTo makes a further name of a file that has the first one. The way to that has no
// links in it: the tree at root is ours. It can be longer than the kernel takes at once.
func linkTo(links *inode.Links, first inode.Ref, root, dirfd int, name string) error {
	pieces, err := links.Pieces(first)
	if err != nil {
		return err
	}
	from, path := root, ""
	defer func() {
		if from != root {
			_ = unix.Close(from)
		}
	}()
	for _, next := range pieces {
		if path == "" {
			path = next
			continue
		}
		if len(path)+len("/")+len(next) < maxPath {
			path += "/" + next
			continue
		}
		fd, err := unix.Openat(from, path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if from != root {
			_ = unix.Close(from)
		}
		from, path = fd, next
	}
	return unix.Linkat(from, path, dirfd, name, 0)
}
