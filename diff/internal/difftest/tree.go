package difftest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func Do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make devices and change owners")
	}
}

// Settle gives everything in a tree the same time.
func Settle(t *testing.T, root string) {
	t.Helper()
	times := []unix.Timespec{{Sec: 1_000_000_000}, {Sec: 1_000_000_000}}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	})
	Do(t, err)
}

// Touch sets a file's own time.
func Touch(path string, sec, nsec int64) error {
	ts := unix.Timespec{Sec: sec, Nsec: nsec}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// Names lists a tree: directories with a slash, files with their content,
// marks of an overlay in words.
func Names(t *testing.T, root string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir():
			name += "/"
			if v := make([]byte, 8); true {
				if n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", v); err == nil {
					name += "(" + string(v[:n]) + ")"
				}
			}
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			name += "->" + target
		case d.Type()&fs.ModeCharDevice != 0:
			name += "(gone)"
		case d.Type().IsRegular():
			body, _ := os.ReadFile(path)
			name += "=" + string(body)
		}
		all = append(all, name)
		return nil
	})
	Do(t, err)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// Nest makes directories in one another, deeper than a path can tell.
func Nest(t *testing.T, root, name string, levels int) {
	t.Helper()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for range levels {
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		var sub int
		sub, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		Do(t, unix.Close(fd))
		fd = sub
	}
	var file int
	if file, err = unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o644); err == nil {
		err = errors.Join(unix.Close(file), unix.Close(fd))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// MountOverlay mounts an upper on a lower until the test ends.
func MountOverlay(t *testing.T, lower, upper string) string {
	t.Helper()
	work, merged := t.TempDir(), t.TempDir()
	Do(t, os.Chmod(upper, 0o755))
	err := unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,index=off", lower, upper, work))
	if err != nil {
		t.Skipf("cannot mount an overlay: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return merged
}

// UpperTree makes a sealed upper with all that one can hold.
func UpperTree(t *testing.T) string {
	t.Helper()
	NeedRoot(t)
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	long := strings.Repeat("long/", 60)
	Do(t,
		os.Chmod(root, 0o755),
		os.MkdirAll(at("dir/sub"), 0o755),
		os.MkdirAll(at(long), 0o755),
		os.MkdirAll(at("opaque"), 0o750),
		os.MkdirAll(at("xattrs"), 0o755),
		unix.Setxattr(at("opaque"), "trusted.overlay.opaque", []byte("y"), 0),
		unix.Setxattr(at("xattrs"), "trusted.overlay.opaque", []byte("x"), 0),
		os.WriteFile(at("xattrs/gone"), nil, 0o644),
		unix.Setxattr(at("xattrs/gone"), "trusted.overlay.whiteout", []byte("y"), 0),
		unix.Mknod(at("dir/gone"), unix.S_IFCHR, 0),
		os.WriteFile(at("dir/file"), []byte("a whale of a file\n"), 0o644),
		os.WriteFile(at("opaque/new"), []byte("new"), 0o600),
		os.WriteFile(at("setuid"), []byte("x"), 0o755),
		unix.Chown(at("setuid"), 1000, 4_000_000_000),
		unix.Chmod(at("setuid"), 0o6755),
		unix.Setxattr(at("setuid"), "security.capability", FileCapability, 0),
		unix.Setxattr(at("setuid"), "user.bytes", []byte("\x00\xff=\n"), 0),
		unix.Setxattr(at("dir"), "system.posix_acl_default", AclOf(7), 0),
		os.Link(at("dir/file"), at("dir/sub/same")),
		os.Link(at("setuid"), at("zz")),
		os.Symlink("../dir/file", at("dir/link")),
		os.Symlink(strings.Repeat("x", 300), at("longlink")),
		unix.Mkfifo(at("fifo"), 0o600),
		unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		unix.Mknod(at("loop"), unix.S_IFBLK|0o640, int(unix.Mkdev(7, 1_000_000))),
		os.WriteFile(at(long+strings.Repeat("n", 255)), []byte("far away"), 0o644),
		os.WriteFile(at("not\xffutf8"), []byte("?"), 0o644),
		os.WriteFile(at("ünicode \n name"), nil, 0o644),
		os.WriteFile(at("sparse"), []byte("begin"), 0o644),
		os.Truncate(at("sparse"), 8<<20),
		os.WriteFile(at("old"), nil, 0o644),
		os.WriteFile(at("future"), nil, 0o644),
	)
	f, err := os.OpenFile(at("sparse"), os.O_WRONLY, 0)
	Do(t, err)
	_, err = f.WriteAt([]byte("middle"), 5<<20)
	Do(t, err, f.Close())
	l, err := net.Listen("unix", at("socket"))
	Do(t, err)
	t.Cleanup(func() { l.Close() })
	Settle(t, root)
	Do(t, Touch(at("old"), -1000, 1), Touch(at("future"), 1<<33, 999_999_999), Touch(at("dir/file"), 1_500_000_000, 999_999_999))
	return root
}

// AclOf is an access control list that lets a further user read.
func AclOf(uid byte) []byte {
	return []byte{
		2, 0, 0, 0,
		1, 0, 6, 0, 255, 255, 255, 255,
		2, 0, 4, 0, uid, 0, 0, 0,
		4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255,
		32, 0, 4, 0, 255, 255, 255, 255,
	}
}

// FileCapability is a security.capability of revision 2.
var FileCapability = []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// CrowdedLevels makes directories in one another, of which each has many long names
// before the next one.
func CrowdedLevels(t *testing.T, root string) {
	t.Helper()
	at, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	Do(t, err)
	long := func(i int) string { return fmt.Sprintf("%s%06d", strings.Repeat("n", 244), i) }
	for range crowdLevels {
		Do(t, unix.Mknodat(at, long(0), unix.S_IFREG|0o644, 0))
		for i := 1; i < crowdNames; i++ {
			Do(t, unix.Linkat(at, long(0), at, long(i), 0))
		}
		// The walk goes down when nearly all have been visited.
		Do(t, unix.Mknodat(at, "z", unix.S_IFREG|0o644, 0), unix.Mkdirat(at, "y", 0o755))
		sub, err := unix.Openat(at, "y", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		Do(t, errors.Join(err, unix.Close(at)))
		at = sub
	}
	Do(t, unix.Close(at))
}

const crowdLevels, crowdNames, CrowdedEntries = 8, 10_000, crowdLevels * (crowdNames + 2)

// HoleFile makes a file that is one hole.
func HoleFile(t *testing.T, path string, size int64) {
	t.Helper()
	Do(t, os.WriteFile(path, nil, 0o644))
	if err := os.Truncate(path, size); errors.Is(err, unix.EFBIG) {
		t.Skipf("the file system of %s has no files of %d bytes", path, size)
	} else if err != nil {
		t.Fatal(err)
	}
}

// Soon returns a context for what must not take as long as it would to read a hole.
func Soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const Tebibyte = 1 << 40
