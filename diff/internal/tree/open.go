package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/text"
)

// OpenRegular opens a regular file below a directory for reading. The name may
// lead neither out of it nor through a link nor onto another file system.
//
// What has the name is opened only if it is a regular file: to open a device or a
// FIFO can do something, and who exchanges it for a file that was looked at before
// decides what. It is looked at by a descriptor that opens nothing (O_PATH). If it
// is of another type, the error is [diff.ErrChanged]. The caller closes the descriptor.
func OpenRegular(dirfd int, name string) (int, error) {
	fd, err := OpenAt2(dirfd, name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	return OpenLooked(fd, name)
}

// OpenLooked opens for reading what a descriptor that opens nothing stands for,
// and closes that.
func OpenLooked(looked int, name string) (int, error) {
	defer unix.Close(looked)
	var st unix.Stat_t
	if err := unix.Fstat(looked, &st); err != nil {
		return -1, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		return -1, fmt.Errorf("open %s: a %s has taken the place of a regular file: %w", name, text.KindName(kind), diff.ErrChanged)
	}
	own, err := ownFiles()
	if err != nil {
		return -1, err
	}
	for {
		// Without O_NOATIME every file that is read would be written to.
		fd, err := unix.Openat(own, strconv.Itoa(looked), unix.O_RDONLY|unix.O_NOATIME|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// ownFolder is one more than the descriptor of ownFiles; 0 if it is not open.
var ownFolder atomic.Int64

// ownFiles is the folder with the open files of this process. That it is open
// already halves what [OpenRegular] costs more than a plain open: 1.6 microseconds.
// A failure, as for want of descriptors, is not the last word.
func ownFiles() (int, error) {
	if fd := ownFolder.Load(); fd > 0 {
		return int(fd - 1), nil
	}
	const folder = "/proc/self/fd"
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: folder, Err: err}
	}
	if !ownFolder.CompareAndSwap(0, int64(fd)+1) { // somebody else was faster
		_ = unix.Close(fd)
	}
	return int(ownFolder.Load() - 1), nil
}

// OpenDirAt opens a directory below another by one name, which must be a
// directory and no link to one.
func OpenDirAt(fd int, name string) (int, error) {
	return OpenAt2(fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// OpenAt2 opens a file below a directory, by a name that may lead neither out
// of it nor through a link nor onto another file system. What is mounted there
// belongs to no layer: ErrUnsupported.
func OpenAt2(fd int, name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	// A single name of a directory leads nowhere else. With this flag the kernel
	// gives EXDEV also for a file that is moved out of the directory meanwhile.
	if strings.Contains(name, "/") || name == ".." {
		how.Resolve |= unix.RESOLVE_BENEATH
	}
	for {
		opened, err := unix.Openat2(fd, name, &how)
		if err == nil {
			return opened, nil
		}
		if errors.Is(err, unix.EXDEV) {
			err = fmt.Errorf("%w: another file system is mounted there: %w", diff.ErrUnsupported, err)
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// ReadlinkAt returns the target of a symbolic link in an open directory.
func ReadlinkAt(dirfd int, name string) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// ProcPath leads to a name in an open directory. Only the name may be a link.
func ProcPath(fd int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + name
}
