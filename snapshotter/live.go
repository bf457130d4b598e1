package snapshotter

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
)

// MaxCopies is how many files [Copies] has at most. The files of a seal beyond it are
// copied each time. A file takes 40 bytes.
const MaxCopies = 1 << 18

// leastAge is how long before a seal a file must have been changed last, for its copy to
// be trusted at the next one: at least this, and two steps of the clock that the file
// system takes its times from. A change within the same step leaves ctime as it is.
const leastAge = 10 * time.Millisecond

// Copies are the files of a running container that a seal has copied, or an earlier one
// had, and whose copies are as good as the files while the files have the same ctime.
// They are in memory alone: after a power loss a file can have new data and its old
// ctime.
type Copies struct {
	dev   uint64 // of the files and of the copies
	files []fileCopy
}

// Len is how many files there are.
func (c *Copies) Len() int { return len(c.files) }

// fileCopy is a regular file of an upper, as it was when it was copied. Times are
// nanoseconds since 1970.
type fileCopy struct {
	ino          uint64
	btime, ctime int64
	size         int64
	copy         uint64 // the inode of the copy
}

// SealLive is [SealWhole] for a container that will go on. It also returns which copies
// the next seal of the same upper can trust.
//
// known is what an earlier seal has returned, and the container's Earlier.Layers are what
// that has written, and what it stood on above the container's Lowers. Then upper lies
// on these, and gets what the container has changed since. Without known there are no
// such layers, and upper gets all.
//
// A copy is trusted if nobody could have written to the file when it was made without
// moving its ctime since: no descriptor or mapping of it was open for writing, which a
// read lease on the upper's own file tells (a store to a page that is dirty already moves
// no ctime), and its last change was long enough ago, and not in the future. So a copy
// can be trusted whether the container was paused or not: who opens the file for writing
// later moves its ctime.
func SealLive(ctx context.Context, c *changes.Container, upper string, known *Copies) (SealStats, *Copies, error) {
	if known == nil {
		known = &Copies{}
	}
	l := &liveSeal{known: known}
	live := *c
	live.Whole, live.WholeRoot, live.Earlier.IsCopy = true, true, l.isCopy
	stats, err := seal(ctx, &live, upper, sealing{times: wholeTimes, live: l})
	if err != nil {
		return stats, nil, err
	}
	return stats, l.copies(), nil
}

// liveSeal notes the copies of one seal.
type liveSeal struct {
	known *Copies
	// now is the time of the upper's file system when the seal began; 0 if nothing is
	// trusted. step is that of its clock.
	now  int64
	step time.Duration
	dev  uint64 // of the folder that is written

	mu              sync.Mutex
	files           []fileCopy
	count, keptSize int64 // of files that are not copied
}

// begin forgets what an earlier try has noted, and asks the file system for its time: a
// new file gets it as ctime.
func (l *liveSeal) begin(root int) {
	if l == nil {
		return
	}
	l.files, l.count, l.keptSize, l.now = nil, 0, 0, 0
	fd, err := unix.Openat(root, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return // a file system without: all is copied each time
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	var tick unix.Timespec
	if unix.Fstat(fd, &st) != nil || unix.ClockGetres(unix.CLOCK_REALTIME_COARSE, &tick) != nil {
		return
	}
	now, ok := nanoseconds(st.Ctim.Sec, st.Ctim.Nsec)
	if !ok {
		return
	}
	l.now, l.step, l.dev = now, time.Duration(tick.Nano()), st.Dev
}

// original returns a file that is about to be copied. It is not trusted, and ok is false,
// if somebody could write to it without moving its ctime, or if it is not what was seen.
func (l *liveSeal) original(fd int, seen *unix.Stat_t) (f fileCopy, ok bool) {
	// Of a file of several names all are told if one is: a rename of the directory of one
	// moves no ctime.
	if l.now == 0 || seen.Dev != l.dev || seen.Nlink != 1 {
		return f, false
	}
	f, ok = look(fd, "", unix.AT_EMPTY_PATH)
	ctime, valid := nanoseconds(seen.Ctim.Sec, seen.Ctim.Nsec)
	if !ok || !valid || f.ino != seen.Ino || f.ctime != ctime || f.size != seen.Size || !l.settled(f.ctime) {
		return f, false
	}
	return f, unwritable(fd)
}

// settled reports whether a change from now on certainly gives another ctime.
func (l *liveSeal) settled(ctime int64) bool {
	step := l.step
	if ctime%int64(time.Second) == 0 { // perhaps all that the file system keeps
		step = time.Second
	}
	return ctime <= l.now-int64(max(leastAge, 2*step))
}

// unwritable reports whether nobody has a file open for writing, or mapped so. fd is
// open for reading, on the file system itself and no overlay.
func unwritable(fd int) bool {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err != nil { //nolint:gosec // it is a descriptor
		return false
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) //nolint:gosec // it is a descriptor
	return err == nil
}

// note notes that a file that can be trusted has been copied.
func (l *liveSeal) note(f fileCopy, into int) error {
	var st unix.Stat_t
	if err := unix.Fstat(into, &st); err != nil {
		return err
	}
	if st.Dev != l.dev {
		return nil
	}
	f.copy = st.Ino
	l.add(f)
	return nil
}

func (l *liveSeal) add(f fileCopy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) < MaxCopies {
		l.files = append(l.files, f)
	}
}

// isCopy reports whether what earlier seals have under a name is a copy of a file that is
// the same still. The name alone does not count: a directory can have been renamed.
func (l *liveSeal) isCopy(dirfd int, name string, now, earlier *unix.Stat_t) bool {
	if now.Dev != l.known.dev || earlier.Dev != l.known.dev {
		return false
	}
	at, ok := slices.BinarySearchFunc(l.known.files, now.Ino, func(f fileCopy, ino uint64) int { return cmp.Compare(f.ino, ino) })
	if !ok || l.known.files[at].copy != earlier.Ino {
		return false
	}
	was := l.known.files[at]
	is, ok := look(dirfd, name, unix.AT_SYMLINK_NOFOLLOW)
	if is.copy = was.copy; !ok || is != was {
		return false
	}
	l.add(was)
	l.count++
	l.keptSize += was.size
	return true
}

func (l *liveSeal) kept() (files, size int64) {
	if l == nil {
		return 0, 0
	}
	return l.count, l.keptSize
}

// copies are what the next seal can trust.
func (l *liveSeal) copies() *Copies {
	slices.SortFunc(l.files, func(a, b fileCopy) int { return cmp.Compare(a.ino, b.ino) })
	return &Copies{dev: l.dev, files: slices.Clip(l.files)}
}

// look returns what there is to compare of a file. ok is false if the file system does
// not tell all of it.
func look(dirfd int, name string, flags int) (f fileCopy, ok bool) {
	const wanted = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	var st unix.Statx_t
	if err := unix.Statx(dirfd, name, flags, wanted, &st); err != nil || st.Mask&wanted != wanted || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return f, false
	}
	btime, bok := nanoseconds(st.Btime.Sec, int64(st.Btime.Nsec))
	ctime, cok := nanoseconds(st.Ctime.Sec, int64(st.Ctime.Nsec))
	if st.Size > math.MaxInt64 || !bok || !cok {
		return f, false
	}
	return fileCopy{ino: st.Ino, btime: btime, ctime: ctime, size: int64(st.Size)}, true
}

// nanoseconds is a time in one number, if it fits.
func nanoseconds(sec, nsec int64) (int64, bool) {
	if sec <= 0 || sec >= math.MaxInt64/int64(time.Second) {
		return 0, false
	}
	return sec*int64(time.Second) + nsec, true
}
