package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// record is the file that makes a folder a stack's root. It is written by the
// keeper, which holds the lock of the root for as long as it lives; a record in
// a root that nobody locks is of a dead or a stopped stack.
type record struct {
	Config    Config
	Bin       string
	KeeperPID int
	// InitPID is the init as seen by the keeper.
	InitPID int
}

func readRecord(l layout) (*record, error) {
	data, err := os.ReadFile(l.record())
	if err != nil {
		return nil, fmt.Errorf("read record of stack %s: %w", l, err)
	}
	rec := new(record)
	if err := json.Unmarshal(data, rec); err != nil {
		return nil, fmt.Errorf("read record of stack %s: %w", l, err)
	}
	return rec, nil
}

// write replaces the record in one step: a sweep may read it at any time.
func (rec *record) write(l layout) error {
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return fmt.Errorf("write record of stack %s: %w", l, err)
	}
	next := l.record() + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("write record of stack %s: %w", l, err)
	}
	if err := os.Rename(next, l.record()); err != nil {
		return fmt.Errorf("write record of stack %s: %w", l, err)
	}
	return nil
}

var errLocked = errors.New("locked by another process")

// lockRoot locks the folder root until the file that it returns is closed, or
// fails with errLocked.
func lockRoot(root string) (*os.File, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, fmt.Errorf("lock stack root: %w", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock stack root %s: %w", root, err)
	}
	return dir, nil
}

// isLive tells whether a keeper holds root.
func isLive(root string) (bool, error) {
	lock, err := lockRoot(root)
	switch {
	case errors.Is(err, errLocked):
		return true, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, lock.Close()
}

// claimPatience is how long claimRoot goes on when somebody has the lock. Start
// has made sure that no keeper has it; but another Start may be sweeping.
const claimPatience = 10 * time.Second

// claimRoot makes the root, or takes over a kept or a dead one, and returns its
// lock. What it refuses it has not changed.
func claimRoot(l layout) (*os.File, error) {
	for deadline := time.Now().Add(claimPatience); ; time.Sleep(10 * time.Millisecond) {
		err := os.Mkdir(string(l), 0o711) // a user namespace's root must get through
		if err != nil && !os.IsExist(err) {
			return nil, fmt.Errorf("make stack root: %w", err)
		}
		lock, err := lockRoot(string(l))
		switch {
		case err == nil && isAt(lock, string(l)):
			if err := checkOurs(l); err != nil {
				lock.Close()
				return nil, err
			}
			return lock, nil
		case err == nil:
			lock.Close() // a sweep has removed it before we had the lock
		case !errors.Is(err, errLocked) && !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, errInUse(l)
		}
	}
}

// isAt tells whether path still is the open file.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

func errInUse(l layout) error {
	who := "another process"
	if rec, err := readRecord(l); err == nil {
		who = fmt.Sprintf("process %d", rec.KeeperPID)
	}
	return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("%s is in use by a live stack (%s)", l, who))
}

// checkOurs refuses a folder that holds anything but a stack, since the end of a
// stack may remove it.
func checkOurs(l layout) error {
	if _, err := os.Stat(l.record()); err == nil {
		return nil
	}
	entries, err := os.ReadDir(string(l))
	if err != nil {
		return fmt.Errorf("look into stack root: %w", err)
	}
	if len(entries) > 0 {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"%s is neither empty nor the root of a stack (it has %s)", l, entries[0].Name()))
	}
	return nil
}

// removeFiles removes the root, or, if it is to be kept, what cannot be of use
// to a later stack.
func removeFiles(l layout, keep bool) error {
	if err := unmountBelow(string(l)); err != nil {
		return err
	}
	paths := []string{string(l)}
	if keep {
		paths = []string{l.volatile(), l.tmp()}
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove files of stack %s: %w", l, err)
		}
	}
	return nil
}

// unmountBelow is a safeguard. The stack's mounts are in a namespace of its own,
// but removing files through a mount that somebody else made would remove
// what is not ours.
func unmountBelow(root string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	if err != nil {
		return fmt.Errorf("list mounts below %s: %w", root, err)
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", mounts[i].Mountpoint, err)
		}
	}
	return nil
}

// Sweep removes what stacks left behind whose keeper was killed, as Start does
// too. It looks for them below BALEEN_STACK_DIR or /var/tmp. Kept roots stay,
// without their cgroups.
func Sweep() error {
	roots, err := filepath.Glob(filepath.Join(stackDir(), rootPrefix+"*"))
	if err != nil {
		return fmt.Errorf("sweep stacks: %w", err)
	}
	var errs []error
	for _, root := range roots {
		errs = append(errs, sweepRoot(layout(root)))
	}
	return errors.Join(errs...)
}

func sweepRoot(l layout) error {
	if info, err := os.Lstat(string(l)); err != nil || !info.IsDir() {
		return nil
	}
	lock, err := lockRoot(string(l))
	if errors.Is(err, errLocked) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	rec, err := readRecord(l)
	if err != nil {
		removeAbandoned(l)
		return nil
	}
	return errors.Join(removeCgroups(l.cgroup()), removeFiles(l, rec.Config.KeepRoot))
}

// removeAbandoned removes a root whose keeper was killed before it could write
// the record. It is empty then, which is all that makes it ours; and it is not
// new, or else its keeper is just about to lock it.
func removeAbandoned(l layout) {
	info, err := os.Stat(string(l))
	if err == nil && time.Since(info.ModTime()) > time.Minute {
		_ = os.Remove(string(l))
	}
}
