package snapshotter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"unsafe"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Commands of quotactl_fd(2), from linux/quota.h and linux/dqblk_xfs.h, for
// projects. The generic ones serve XFS as well.
const (
	projects    = 2 // PRJQUOTA
	getNext     = 0x800009<<8 | projects
	setQuota    = 0x800008<<8 | projects
	getState    = ('X'<<8|5)<<8 | projects // Q_XGETQSTAT
	blockLimits = 1                        // QIF_BLIMITS
	blockSize   = 1 << 10                  // QIF_DQBLKSIZE
	enforcing   = 1 << 5                   // FS_QUOTA_PDQ_ENFD
)

// dqblk is struct if_nextdqblk, and struct if_dqblk but for its last field.
type dqblk struct {
	BlocksHard, BlocksSoft, Space  uint64
	InodesHard, InodesSoft, Inodes uint64
	BlockTime, InodeTime           uint64
	Valid, ID                      uint32
}

func quotactl(fd int, command uintptr, id uint32, into unsafe.Pointer) error {
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), command, uintptr(id), uintptr(into), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// withQuota calls f with a descriptor for quotactl on a folder's file system.
func withQuota(dir string, f func(fd int) error) error {
	fd, err := openDir(dir)
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return f(fd)
}

// enforced checks that a file system keeps to the limits of projects.
func enforced(fd int, dir string) error {
	var state [128]byte // struct fs_quota_stat, of which the flags count
	err := quotactl(fd, getState, 0, unsafe.Pointer(&state))
	if err == nil && binary.NativeEndian.Uint16(state[2:])&enforcing != 0 {
		return nil
	}
	name, missing := "of a kind that has none", "ext4 and XFS have them"
	var st unix.Statfs_t
	if serr := unix.Fstatfs(fd, &st); serr != nil {
		return &fs.PathError{Op: "look at the file system of", Path: dir, Err: serr}
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC:
		name, missing = "ext4", `it needs the features "project" and "quota" (tune2fs -O project,quota, unmounted), the mount option "prjquota", and a kernel with CONFIG_QFMT_V2`
	case unix.XFS_SUPER_MAGIC:
		name, missing = "XFS", `it needs the mount option "pquota" and a kernel with CONFIG_XFS_QUOTA`
	case unix.BTRFS_SUPER_MAGIC:
		name = "btrfs"
	case unix.TMPFS_MAGIC:
		name = "tmpfs"
	}
	text := fmt.Sprintf("the file system of %s is %s, and does not enforce any: %s", dir, name, missing)
	if errors.Is(err, unix.ENOSYS) {
		text += " (or the kernel is older than 5.14)"
	}
	return fmt.Errorf("%w: %s", ErrNoQuota, text)
}

// freeProject is the lowest number that no project has, neither one with files
// nor one with a limit.
func freeProject(fd int) (uint32, error) {
	for id := uint32(firstProject); id < math.MaxInt32; id++ {
		var next dqblk
		err := quotactl(fd, getNext, id, unsafe.Pointer(&next))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || err == nil && next.ID > id {
			return id, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, errdefs.ErrResourceExhausted.WithMessage("all numbers are used")
}

// setLimit limits a project to so many bytes, rounded up to whole KiB; 0 is no
// limit.
func setLimit(fd int, id uint32, size int64) error {
	blocks := uint64(size+blockSize-1) / blockSize
	limit := dqblk{BlocksHard: blocks, BlocksSoft: blocks, Valid: blockLimits}
	if err := quotactl(fd, setQuota, id, unsafe.Pointer(&limit)); err != nil {
		return fmt.Errorf("limit project %d to %d bytes: %w", id, size, err)
	}
	return nil
}
