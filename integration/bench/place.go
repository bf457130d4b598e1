package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/stack"
)

// stackDirEnv and rootPrefix are where package stack looks for what killed
// stacks left behind.
const (
	stackDirEnv = "BALEEN_STACK_DIR"
	rootPrefix  = "baleen-"
	placePrefix = "bb-" // short, for the sockets below it, and none of rootPrefix
)

// place is the folder of one run. Whoever holds its lock is at work in it.
type place struct {
	dir  string
	lock *os.File
}

// claimPlace sweeps up after killed runs and makes a new folder.
func claimPlace() (*place, error) {
	parent := os.Getenv(stackDirEnv)
	if parent == "" {
		parent = "/var/tmp"
	}
	if err := sweep(parent); err != nil {
		return nil, err
	}
	dir := filepath.Join(parent, placePrefix+strings.ToLower(rand.Text()[:6]))
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make folder for the run: %w", err)
	}
	lock, err := lockPlace(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &place{dir: dir, lock: lock}, nil
}

// What a run needs of the disk: images and one turn of every contestant, and what
// they are made from. A volume in a file grows to more, since what is removed
// from it is not given back.
const (
	fullSpace  = volumeSize + 3<<30
	quickSpace = quickVolumeSize + 2<<30
)

// checkSpace refuses a disk that would run full.
func (p *place) checkSpace(quick bool) error {
	needed := uint64(fullSpace)
	if quick {
		needed = quickSpace
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(p.dir, &fs); err != nil {
		return fmt.Errorf("look at file system of %s: %w", p.dir, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < needed {
		return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
			"%s has %d GB free, and up to %d GB are needed: set %s to a folder on another disk",
			filepath.Dir(p.dir), free>>30, needed>>30, stackDirEnv))
	}
	return nil
}

func lockPlace(dir string) (*os.File, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// sweep removes the places that nobody holds.
func sweep(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, placePrefix+"*"))
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, dir := range dirs {
		lock, err := lockPlace(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := (&place{dir: dir, lock: lock}).remove(); err != nil {
			return err
		}
	}
	return nil
}

// stackPatience is how long keepers may take to end stacks that lost their
// starter.
const stackPatience = time.Minute

// remove removes the folder. Stacks in it are ending, if there are any: it waits
// for them, and sweeps up after those whose keeper was killed, too.
func (p *place) remove() error {
	defer p.lock.Close()
	if err := p.awaitEnd(); err != nil {
		return err
	}
	roots, err := filepath.Glob(filepath.Join(p.dir, "*", rootPrefix+"*"))
	if err != nil {
		return fmt.Errorf("remove %s: %w", p.dir, err)
	}
	for _, root := range roots {
		if err := sweepStacks(filepath.Dir(root)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove %s: %w", p.dir, err)
	}
	return nil
}

// awaitEnd waits until no process has a path below the folder among its
// arguments, as keepers and daemons have. Stacks on a volume that was mounted in
// the namespace of a dead process could not be found by their files.
func (p *place) awaitEnd() error {
	for deadline := time.Now().Add(stackPatience); ; time.Sleep(50 * time.Millisecond) {
		process, err := p.inhabitant()
		if err != nil || process == "" {
			return err
		}
		if time.Now().After(deadline) {
			return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("%s is still in use: %s", p.dir, process))
		}
	}
}

// inhabitant returns the arguments of one such process, if there is any.
func (p *place) inhabitant() (string, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return "", err
	}
	for _, path := range processes {
		// What cannot be read has ended meanwhile.
		args, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(args), p.dir+"/") {
			return strings.ReplaceAll(string(args), "\x00", " "), nil
		}
	}
	return "", nil
}

// sweepStacks has package stack sweep in that folder.
func sweepStacks(dir string) error {
	before, set := os.LookupEnv(stackDirEnv)
	if err := os.Setenv(stackDirEnv, dir); err != nil {
		return err
	}
	defer func() {
		if set {
			os.Setenv(stackDirEnv, before)
		} else {
			os.Unsetenv(stackDirEnv)
		}
	}()
	return stack.Sweep()
}
