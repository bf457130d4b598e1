package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/bench/volume"
)

// Disk is a file system that is mounted, and whose power can be cut.
type Disk struct {
	// Dir is where it is mounted.
	Dir string

	kind   volume.Kind
	mounts []string // in the order in which they were made
	store  string   // the XFS
	cuts   int
}

// Available returns why no disk's power can be cut on this machine, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting a disk needs root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err
	}
	for _, program := range []string{"mkfs.xfs", "mkfs.ext4"} {
		if _, err := exec.LookPath(program); err != nil {
			if _, err := os.Stat("/usr/sbin/" + program); err != nil {
				return fmt.Errorf("a disk whose power can be cut takes %s: %w", program, err)
			}
		}
	}
	return nil
}

// Open makes a disk of that many bytes and mounts it below dir, an empty folder.
// Its memory is used as it is written. The caller must Close it.
func Open(ctx context.Context, kind volume.Kind, dir string, size int64) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(dir, "disk"), kind: kind, store: filepath.Join(dir, "memory", "xfs")}
	if err := d.open(ctx, filepath.Join(dir, "memory"), size); err != nil {
		return nil, errors.Join(fmt.Errorf("open disk %s: %w", d.Dir, err), d.Close())
	}
	return d, nil
}

func (d *Disk) open(ctx context.Context, memory string, size int64) error {
	if err := os.MkdirAll(memory, 0o711); err != nil {
		return err
	}
	// What the cuts do not share lies there too, and an XFS has a least size.
	room := max(4*size, 512<<20)
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, fmt.Sprintf("mode=711,size=%d", room)); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	d.mounts = append(d.mounts, memory)
	if err := d.create(ctx, volume.XFS, filepath.Join(memory, "xfs.img"), d.store, room); err != nil {
		return err
	}
	return d.create(ctx, d.kind, filepath.Join(d.store, "disk"), d.Dir, size)
}

// create makes a file system in a file, and mounts it.
func (d *Disk) create(ctx context.Context, kind volume.Kind, image, dir string, size int64) error {
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return err
	}
	if err := volume.Format(ctx, kind, image); err != nil {
		return err
	}
	return d.mount(kind, image, dir)
}

func (d *Disk) mount(kind volume.Kind, image, dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := volume.MountCopy(kind, file, dir); err != nil {
		return err
	}
	d.mounts = append(d.mounts, dir)
	return nil
}

// Cut is what a disk held at one moment.
type Cut struct {
	disk  *Disk
	image string
}

// Cut tells what is on disk now. Nothing is written to it for that.
func (d *Disk) Cut() (*Cut, error) {
	d.cuts++
	c := &Cut{disk: d, image: filepath.Join(d.store, fmt.Sprint("cut", d.cuts))}
	if err := clone(c.image, filepath.Join(d.store, "disk")); err != nil {
		return nil, fmt.Errorf("cut the power of disk %s: %w", d.Dir, err)
	}
	return c, nil
}

func clone(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		return fmt.Errorf("clone %s: %w", from, err)
	}
	return nil
}

// Mount mounts what the cut left at dir, which is made. It may be the disk's own,
// once that is unmounted. The caller must Close the cut.
func (c *Cut) Mount(dir string) error {
	if err := c.disk.mount(c.disk.kind, c.image, dir); err != nil {
		return fmt.Errorf("mount what a cut left: %w", err)
	}
	return nil
}

// Close unmounts the cut, if it is mounted at dir, and removes it.
func (c *Cut) Close(dir string) error {
	return errors.Join(c.disk.unmount(dir), os.Remove(c.image))
}

// Off unmounts the disk, when nobody uses it any more. Its cuts stay.
func (d *Disk) Off() error { return d.unmount(d.Dir) }

func (d *Disk) unmount(dir string) error {
	for i, mounted := range d.mounts {
		if mounted == dir {
			d.mounts = append(d.mounts[:i], d.mounts[i+1:]...)
			return volume.Unmount(dir)
		}
	}
	return nil
}

// Close unmounts all that is still mounted, and so frees the memory.
func (d *Disk) Close() error {
	var errs []error
	for len(d.mounts) > 0 {
		errs = append(errs, d.unmount(d.mounts[len(d.mounts)-1]))
	}
	return errors.Join(errs...)
}
