package snapshotter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// copyJob is a regular file to be filled.
type copyJob struct {
	path string
	src  changes.OpenFile
	dst  int
	stat unix.Stat_t // what dst is to have
	// chown and chmod say that dst was not made with its owner and mode.
	chown, chmod bool
	// note says to note the copy, if it can be trusted at the next seal.
	note bool
}

// maker is what this process gives to the files that it makes.
type maker struct {
	root  bool   // they belong to root
	umask uint32 // they lack these bits
}

func newMaker() maker {
	m := maker{root: os.Geteuid() == 0 && os.Getegid() == 0, umask: 0o777}
	// There is no call that asks for it and does not set it.
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m // nothing is taken for granted then
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
				m.umask = uint32(mask)
			}
		}
	}
	return m
}

// owns reports whether a file made in a directory of that group has the wanted
// owner from the start. On some mounts, and below setgid, it gets the group of
// the directory.
func (m maker) owns(wanted *unix.Stat_t, dirGroup uint32) bool {
	return m.root && wanted.Uid == 0 && wanted.Gid == 0 && dirGroup == 0
}

// work fills files until there are no more. Once something has failed they are
// only closed: the walk must not wait for a full queue.
func (s *sealer) work(ctx context.Context) {
	buf := make([]byte, 256<<10)
	for batch := range s.jobs {
		for i := range batch {
			job := &batch[i]
			err := ctx.Err()
			if err == nil {
				err = s.fill(ctx, job, buf)
			}
			if err = errors.Join(err, unix.Close(job.dst), unix.Close(job.src.FD)); err != nil {
				s.fail(fmt.Errorf("seal %s: %w", job.path, err))
			}
		}
	}
}

func (s *sealer) fill(ctx context.Context, job *copyJob, buf []byte) error {
	original, trusted := fileCopy{}, false
	if job.note && !job.src.Made && job.src.Stat.Dev == job.stat.Dev && job.src.Stat.Ino == job.stat.Ino {
		original, trusted = s.how.live.original(job.src.FD, &job.stat)
	}
	if err := s.copyStable(ctx, job, buf); err != nil {
		return err
	}
	if trusted {
		// If it has changed meanwhile it has another ctime now.
		if err := s.how.live.note(original, job.dst); err != nil {
			return err
		}
	}
	if job.chown {
		if err := unix.Fchown(job.dst, int(job.stat.Uid), int(job.stat.Gid)); err != nil {
			return err
		}
	}
	if job.chmod {
		if err := unix.Fchmod(job.dst, job.stat.Mode&0o7777); err != nil {
			return err
		}
	}
	for _, a := range job.src.Attrs {
		if err := unix.Fsetxattr(job.dst, a.Name, a.Value, 0); err != nil {
			return fmt.Errorf("set xattr %s: %w", a.Name, err)
		}
	}
	times := s.how.times(&job.stat)
	return unix.UtimesNanoAt(job.dst, "", times[:], unix.AT_EMPTY_PATH)
}

// copyStable copies content, again if the file changed meanwhile.
func (s *sealer) copyStable(ctx context.Context, job *copyJob, buf []byte) error {
	for try := 1; ; try++ {
		cloned, err := false, error(nil)
		if !job.src.Made {
			cloned, err = s.cloner.clone(job.dst, job.src.FD)
		}
		if err != nil {
			return err
		}
		if !cloned {
			if err := copyData(ctx, job.dst, job.src.FD, job.src.Stat.Size, buf); err != nil && !errors.Is(err, diff.ErrChanged) {
				return err
			}
		}
		now, err := job.src.Now()
		if err != nil {
			return err
		}
		before := &job.src.Stat
		if before.Ino == now.Ino && before.Size == now.Size && before.Mtim == now.Mtim && before.Ctim == now.Ctim {
			return nil
		}
		if cloned { // at one instant
			job.follow(now)
			return nil
		}
		if try == sealTries {
			return fmt.Errorf("%w, %d times: pause the container, or stop what writes to the file", diff.ErrChanged, sealTries)
		}
		if err := unix.Ftruncate(job.dst, 0); err != nil {
			return err
		}
		job.follow(now)
	}
}

// follow takes over what the file is by now. Another one may have got its name
// since the walk saw it, whose content must not get this one's owner and mode.
func (job *copyJob) follow(now unix.Stat_t) {
	// Data in a layer below belongs to a file that is somewhere else.
	if job.src.Stat.Dev == job.stat.Dev && job.src.Stat.Ino == job.stat.Ino {
		job.stat, job.chown, job.chmod = now, true, true
	}
	job.src.Stat = now
}

// cloner shares data between files, where the file system can.
type cloner struct {
	cannot atomic.Bool
	did    atomic.Bool
}

// Clones reports whether files in a folder can share their data (FICLONE).
func Clones(dir string) (bool, error) {
	var fds [2]int
	for i := range fds {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
			return false, nil // of neither is there any that clones
		}
		if err != nil {
			return false, &fs.PathError{Op: "make a file in", Path: dir, Err: err}
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	return new(cloner).clone(fds[0], fds[1])
}

// clone makes dst share all of src's data, and reports whether it could.
func (c *cloner) clone(dst, src int) (bool, error) {
	if c.cannot.Load() {
		return false, nil
	}
	err := unix.IoctlFileClone(dst, src)
	switch {
	case err == nil:
		c.did.Store(true)
		return true, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		c.cannot.Store(true)
		return false, nil
	default:
		return false, fmt.Errorf("clone: %w", err)
	}
}

// copyData copies size bytes of data, and leaves out holes.
func copyData(ctx context.Context, dst, src int, size int64, buf []byte) error {
	if size <= int64(len(buf)) {
		return copyThrough(ctx, dst, src, 0, size, buf)
	}
	for offset := int64(0); offset < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin, err := unix.Seek(src, offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole to the end
			break
		}
		if err != nil {
			return fmt.Errorf("find data: %w", err)
		}
		end, err := unix.Seek(src, begin, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("find hole: %w", err)
		}
		if err := copyRange(ctx, dst, src, begin, min(end, size), buf); err != nil {
			return err
		}
		offset = end
	}
	return unix.Ftruncate(dst, size)
}

// copyChunk bounds one call, so that an end of the context is noticed.
const copyChunk = 64 << 20

// copyRange copies data from an offset up to another.
func copyRange(ctx context.Context, dst, src int, from, to int64, buf []byte) error {
	in, out := from, from
	for in < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.CopyFileRange(src, &in, dst, &out, int(min(to-in, copyChunk)), 0)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EXDEV): // the one is an overlay, and the other is not
			return copyThrough(ctx, dst, src, in, to, buf)
		case err != nil:
			return fmt.Errorf("copy: %w", err)
		case n == 0:
			return fmt.Errorf("%w: it became shorter", diff.ErrChanged)
		}
	}
	return nil
}

// copyThrough is copyRange by way of buf.
func copyThrough(ctx context.Context, dst, src int, from, to int64, buf []byte) error {
	for done := from; done < to; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(src, buf[:min(to-done, int64(len(buf)))], done)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("%w: it became shorter", diff.ErrChanged)
		}
		for written := 0; written < n; {
			m, err := unix.Pwrite(dst, buf[written:n], done+int64(written))
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if m == 0 {
				return io.ErrShortWrite
			}
			written += m
		}
		done += int64(n)
	}
	return nil
}
