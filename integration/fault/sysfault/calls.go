package sysfault

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Call is one call of the kernel.
type Call struct {
	Name string
	// Path is what it works on: what it makes, where it makes something. It is
	// "" if that could not be found out.
	Path string
}

// String returns the call as one would tell it.
func (c Call) String() string { return c.Name + " " + c.Path }

// none marks an argument that a call does not have.
const none = -1

// shape says which arguments of a call tell what it works on.
type shape struct {
	name     string
	fd, path int
}

// shapes are the calls that the filter asks for.
var shapes = map[int32]shape{
	unix.SYS_OPENAT:          {"openat", 0, 1},
	unix.SYS_OPENAT2:         {"openat2", 0, 1},
	unix.SYS_MKDIRAT:         {"mkdirat", 0, 1},
	unix.SYS_MKNODAT:         {"mknodat", 0, 1},
	unix.SYS_SYMLINKAT:       {"symlinkat", 1, 2},
	unix.SYS_LINKAT:          {"linkat", 2, 3},
	unix.SYS_UNLINKAT:        {"unlinkat", 0, 1},
	unix.SYS_RENAMEAT:        {"renameat", 0, 1},
	unix.SYS_RENAMEAT2:       {"renameat2", 0, 1},
	unix.SYS_FCHOWNAT:        {"fchownat", 0, 1},
	unix.SYS_FCHMODAT:        {"fchmodat", 0, 1},
	unix.SYS_FCHMODAT2:       {"fchmodat2", 0, 1},
	unix.SYS_UTIMENSAT:       {"utimensat", 0, 1},
	unix.SYS_READLINKAT:      {"readlinkat", 0, 1},
	unix.SYS_NEWFSTATAT:      {"newfstatat", 0, 1},
	unix.SYS_STATX:           {"statx", 0, 1},
	unix.SYS_FSTAT:           {"fstat", 0, none},
	unix.SYS_FCHOWN:          {"fchown", 0, none},
	unix.SYS_FCHMOD:          {"fchmod", 0, none},
	unix.SYS_FTRUNCATE:       {"ftruncate", 0, none},
	unix.SYS_FALLOCATE:       {"fallocate", 0, none},
	unix.SYS_LSEEK:           {"lseek", 0, none},
	unix.SYS_PREAD64:         {"pread64", 0, none},
	unix.SYS_PWRITE64:        {"pwrite64", 0, none},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", 2, none},
	unix.SYS_IOCTL:           {"ioctl", 0, none},
	unix.SYS_GETDENTS64:      {"getdents64", 0, none},
	unix.SYS_FSYNC:           {"fsync", 0, none},
	unix.SYS_FDATASYNC:       {"fdatasync", 0, none},
	unix.SYS_SYNCFS:          {"syncfs", 0, none},
	unix.SYS_SYNC_FILE_RANGE: {"sync_file_range", 0, none},
	unix.SYS_SETXATTR:        {"setxattr", none, 0},
	unix.SYS_LSETXATTR:       {"lsetxattr", none, 0},
	unix.SYS_FSETXATTR:       {"fsetxattr", 0, none},
	unix.SYS_GETXATTR:        {"getxattr", none, 0},
	unix.SYS_LGETXATTR:       {"lgetxattr", none, 0},
	unix.SYS_FGETXATTR:       {"fgetxattr", 0, none},
	unix.SYS_LISTXATTR:       {"listxattr", none, 0},
	unix.SYS_LLISTXATTR:      {"llistxattr", none, 0},
	unix.SYS_FLISTXATTR:      {"flistxattr", 0, none},
}

// describe finds out what a call is and what it works on. The thread that makes
// it stands still.
func describe(n *notification) Call {
	s := shapes[n.nr]
	c := Call{Name: s.name}
	var at, name string
	if s.path != none {
		name = stringOf(n.pid, n.args[s.path])
	}
	if s.fd != none && !filepath.IsAbs(name) {
		at = fileOf(n.pid, int32(n.args[s.fd]))
		if at == "" {
			return c
		}
	}
	c.Path = filepath.Join(at, name)
	// Calls that know no directory descriptors are led through /proc.
	if rest, ok := strings.CutPrefix(c.Path, "/proc/self/fd/"); ok {
		var fd int32
		number, below, _ := strings.Cut(rest, "/")
		if _, err := fmt.Sscan(number, &fd); err == nil {
			c.Path = filepath.Join(fileOf(n.pid, fd), below)
		}
	}
	return c
}

// fileOf returns the path of an open file, or of the working directory, of a
// thread, or "".
func fileOf(pid uint32, fd int32) string {
	link := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	if fd == unix.AT_FDCWD {
		link = fmt.Sprintf("/proc/%d/cwd", pid)
	}
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	return target
}

// stringOf reads a string of another process, which ends with a zero byte.
func stringOf(pid uint32, address uint64) string {
	var text []byte
	for len(text) < unix.PathMax && address != 0 {
		// Never across the end of a page: the next one may not be there.
		room := make([]byte, 256-address%256)
		local := []unix.Iovec{{Base: &room[0], Len: uint64(len(room))}}
		remote := []unix.RemoteIovec{{Base: uintptr(address), Len: len(room)}}
		n, err := unix.ProcessVMReadv(int(pid), local, remote, 0)
		if err != nil || n == 0 {
			return ""
		}
		if end := bytes.IndexByte(room[:n], 0); end >= 0 {
			return string(append(text, room[:end]...))
		}
		text = append(text, room[:n]...)
		address += uint64(n)
	}
	return ""
}
