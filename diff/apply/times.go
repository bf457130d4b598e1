package apply

import (
	"archive/tar"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxTimes bounds how many directories wait for their times.
const maxTimes = 1024

// fileTimes are the times of access and of modification.
type fileTimes [2]unix.Timespec

// timesOf are the times that an entry says. Few say one of access; the other
// serves then.
func timesOf(hdr *tar.Header) fileTimes {
	access := hdr.AccessTime
	if access.Before(hdr.ModTime) {
		access = hdr.ModTime
	}
	return fileTimes{timespec(access), timespec(hdr.ModTime)}
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// touch remembers the times of a directory before something in it changes,
// unless it is known what they shall be.
func (a *applier) touch(f folder) error {
	if _, ok := a.times[f.path]; ok {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return fmt.Errorf("stat directory: %w", err)
	}
	return a.setTimes(f.path, fileTimes{st.Atim, st.Mtim})
}

// setTimes says what times a directory shall have in the end. If many wait they
// are set now: those of a directory that changes again are saved by touch.
func (a *applier) setTimes(dir string, times fileTimes) error {
	if len(a.times) >= maxTimes {
		present, ok := a.times[a.at.path]
		if err := a.flushTimes(); err != nil {
			return err
		}
		if ok && a.at.fd >= 0 { // it is not touched again as long as it is open
			a.times[a.at.path] = present
		}
	}
	a.times[dir] = times
	return nil
}

// flushTimes sets the times of directories.
func (a *applier) flushTimes() error {
	for dir, times := range a.times {
		fd, err := openBeneath(a.root, dir)
		if goneSince(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("set times of %q: %w", dir, err)
		}
		err = unix.UtimesNanoAt(fd, ".", times[:], 0)
		_ = unix.Close(fd)
		if err != nil {
			return fmt.Errorf("set times of %q: %w", dir, err)
		}
	}
	clear(a.times)
	return nil
}

// goneSince reports whether a directory was replaced later in the layer.
func goneSince(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
