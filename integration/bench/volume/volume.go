package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Kind is a kind of file system.
type Kind struct {
	Name  string
	magic int64
	// flags are for mkfs, and options for the mount, also of a copy beside the
	// original.
	flags   []string
	options string
}

// The kinds of file systems.
var (
	Ext4 = Kind{Name: "ext4", magic: unix.EXT4_SUPER_MAGIC, flags: []string{"-q", "-F"}}
	XFS  = Kind{Name: "xfs", magic: unix.XFS_SUPER_MAGIC, flags: []string{"-q", "-m", "reflink=1"}, options: "nouuid"}
)

// The same with project quotas, for OpenLoop. Not every kernel can mount them.
var (
	Ext4Quota = Kind{Name: "ext4", magic: unix.EXT4_SUPER_MAGIC, flags: []string{"-q", "-F", "-O", "project,quota", "-E", "quotatype=prjquota"}, options: "prjquota"}
	XFSQuota  = Kind{Name: "xfs", magic: unix.XFS_SUPER_MAGIC, flags: XFS.flags, options: "pquota,nouuid"}
)

// Volume is a folder on a file system.
type Volume struct {
	Kind Kind
	Dir  string
	// Loop is the loop device, or empty if the machine's own file system is
	// used.
	Loop string

	top *os.File
}

// Open makes a volume called after its kind below dir. One that needs a loop
// device is of that many bytes, which are used as they are written. The caller
// must Close it.
func Open(ctx context.Context, kind Kind, dir string, size int64) (*Volume, error) {
	own, err := is(kind, dir)
	if err != nil {
		return nil, fmt.Errorf("open volume: %w", err)
	}
	return open(ctx, kind, dir, size, !own)
}

// OpenLoop is Open with a loop device in any case: the volume is no larger than
// asked for.
func OpenLoop(ctx context.Context, kind Kind, dir string, size int64) (*Volume, error) {
	return open(ctx, kind, dir, size, true)
}

func open(ctx context.Context, kind Kind, dir string, size int64, loop bool) (*Volume, error) {
	v := &Volume{Kind: kind, Dir: filepath.Join(dir, kind.Name)}
	if err := os.Mkdir(v.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("open volume: %w", err)
	}
	var err error
	if loop {
		err = v.mountLoop(ctx, size)
	}
	if err == nil {
		v.top, err = os.Open(v.Dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open volume %s: %w", v.Dir, err), v.Close())
	}
	return v, nil
}

func is(kind Kind, dir string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false, err
	}
	return fs.Type == kind.magic, nil
}

func (v *Volume) mountLoop(ctx context.Context, size int64) error {
	path := v.Dir + ".img"
	image, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer image.Close()
	defer os.Remove(path)
	if err := image.Truncate(size); err != nil {
		return err
	}
	if err := Format(ctx, v.Kind, path); err != nil {
		return err
	}
	v.Loop, err = mount(v.Kind, image, v.Dir, unix.LO_FLAGS_DIRECT_IO)
	return err
}

// MountCopy mounts the file system in an image, beside others that it is a copy
// of or that are copies of it. Its loop device goes when it is unmounted. What it
// writes goes through the cache of the image's file system: the sectors that go
// past that have another size in a copy that shares its blocks.
func MountCopy(kind Kind, image *os.File, dir string) error {
	_, err := mount(kind, image, dir, 0)
	return err
}

func mount(kind Kind, image *os.File, dir string, flags uint32) (loop string, err error) {
	device, err := attach(image, flags)
	if err != nil {
		return "", err
	}
	defer device.Close() // then only the mount holds it
	if err := unix.Mount(device.Name(), dir, kind.Name, 0, kind.options); err != nil {
		return "", fmt.Errorf("mount %s: %w", kind.Name, err)
	}
	return device.Name(), nil
}

// Format makes a file system in the file at path.
func Format(ctx context.Context, kind Kind, path string) error {
	program := "mkfs." + kind.Name
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/" + program // not in every user's PATH
	}
	cmd := exec.CommandContext(ctx, program, append(slices.Clone(kind.flags), path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// attach binds the file to a free loop device. It is released when it is closed
// and not mounted any more.
func attach(image *os.File, flags uint32) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		err = configure(device, image, flags)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was quicker
			return nil, fmt.Errorf("set up %s: %w", device.Name(), err)
		}
	}
}

func configure(device, image *os.File, flags uint32) error {
	config := &unix.LoopConfig{
		Fd:   uint32(image.Fd()),
		Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR | flags},
	}
	err := unix.IoctlLoopConfigure(int(device.Fd()), config)
	if errors.Is(err, unix.EINVAL) && flags == unix.LO_FLAGS_DIRECT_IO {
		// Not every file system below can do without its page cache.
		return configure(device, image, 0)
	}
	return err
}

// Sync writes to the disk what is in memory, of this file system only.
func (v *Volume) Sync() error {
	if err := unix.Syncfs(int(v.top.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", v.Dir, err)
	}
	return nil
}

// unmountPatience is how long those who have just ended may hold the volume.
const unmountPatience = 5 * time.Second

// Close removes the volume with all that is on it. Nobody may use it any more.
func (v *Volume) Close() error {
	if v.top != nil {
		v.top.Close()
	}
	if v.Loop != "" {
		if err := Unmount(v.Dir); err != nil {
			return err
		}
		if err := waitReleased(v.Loop); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(v.Dir); err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	return nil
}

// Unmount unmounts a volume. One that is in use it waits for, a little; then it
// takes it out of sight, and that is an error.
func Unmount(dir string) error {
	for deadline := time.Now().Add(unmountPatience); ; time.Sleep(50 * time.Millisecond) {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("unmount %s: %w", dir, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
		}
	}
}

// waitReleased waits until a loop device has no file any more.
func waitReleased(device string) error {
	file := filepath.Join("/sys/block", filepath.Base(device), "loop", "backing_file")
	for deadline := time.Now().Add(unmountPatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return errdefs.ErrFailedPrecondition.WithMessage(device + " is still in use")
}
