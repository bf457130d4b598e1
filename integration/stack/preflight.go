package stack

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxRoot is how long the path of a root may be: the kernel limits the path of a
// unix socket to 107 bytes, and containerd.sock.ttrpc has the longest.
const maxRoot = 107 - len("/run/containerd.sock.ttrpc")

// CheckMachine tells whether this process may start a stack on this machine at
// all. What it finds lacking no build can mend, so tests may skip on it.
func CheckMachine() error {
	if os.Geteuid() != 0 {
		return errdefs.ErrPermissionDenied.WithMessage("a stack must run as root: sudo make run, or sudo -E go test")
	}
	if !hasFilesystem("overlay") {
		_ = exec.Command("modprobe", "overlay").Run() // judged by its effect
		if !hasFilesystem("overlay") {
			return errdefs.ErrNotImplemented.WithMessage("this kernel has no overlay file system (and `modprobe overlay` did not help)")
		}
	}
	return nil
}

func hasFilesystem(name string) bool {
	file, err := os.Open("/proc/filesystems")
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}

// preflight turns what would go wrong deep inside a daemon into one clear line.
func (c Config) preflight(root, bin string) error {
	if err := CheckMachine(); err != nil {
		return err
	}
	if err := c.needBinaries(bin); err != nil {
		return err
	}
	if !findProgram("iptables", c.searchPath(bin)) {
		return errdefs.ErrNotFound.WithMessage("no iptables in PATH, which dockerd needs: apt-get install iptables")
	}
	return c.checkRoot(root)
}

func findProgram(name string, dirs []string) bool {
	for _, dir := range dirs {
		if needExecutable(filepath.Join(dir, name)) == nil {
			return true
		}
	}
	return false
}

// checkRoot looks at the path, what it is on, and whether it is free. The keeper
// makes sure of the last once more, under the lock.
func (c Config) checkRoot(root string) error {
	if len(root) > maxRoot {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"stack root %s is too long for the sockets in it (%d bytes, at most %d): set %s to a shorter folder",
			root, len(root), maxRoot, stackDirEnv))
	}
	for _, hidden := range []string{"/run/", "/var/run/", "/proc/", "/sys/"} {
		if strings.HasPrefix(root, hidden) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"stack root %s is below %s, which a stack has its own of: set %s to another folder", root, hidden, stackDirEnv))
		}
	}
	parent := filepath.Dir(root)
	info, err := os.Stat(parent)
	if err != nil {
		return fmt.Errorf("stack root %s has no parent folder: %w", root, err)
	}
	if !info.IsDir() {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("stack root %s: %s is not a folder", root, parent))
	}
	if err := checkFree(layout(root)); err != nil {
		return err
	}
	if err := c.checkFrom(layout(root)); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(parent, &fs); err != nil {
		return fmt.Errorf("look at file system of %s: %w", parent, err)
	}
	if c.StorageDriver != "native" && fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"%s is on an overlay, which cannot hold overlay layers: set %s to a folder on a disk", parent, stackDirEnv))
	}
	return nil
}

// checkFrom looks whether the archive can be unpacked. The keeper would remove what
// is in the root after a failure.
func (c Config) checkFrom(l layout) error {
	if c.From == "" {
		return nil
	}
	if _, err := os.Stat(c.From); err != nil {
		return fmt.Errorf("look for the data of stack %s: %w", l, err)
	}
	if _, err := os.Lstat(l.dataRoot()); err == nil {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("stack root %s has data, and %s would be unpacked over it", l, c.From))
	}
	return nil
}

func checkFree(l layout) error {
	info, err := os.Lstat(string(l))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at stack root: %w", err)
	}
	if !info.IsDir() {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("stack root %s exists and is not a folder", l))
	}
	live, err := isLive(string(l))
	if live {
		return errInUse(l)
	}
	return errors.Join(err, checkOurs(l))
}
