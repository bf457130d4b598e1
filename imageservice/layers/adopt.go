package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/snapshotter"
)

// adoptRoot mounts the root of a container that runs where the daemon mounts it, if
// it is not mounted there: the daemon has been started again in another mount
// namespace. What it mounts is the container's own mount, from the container's
// mount namespace. An overlay must not be mounted a second time: the second mount
// removes the folder that the first one works in, and the container can delete and
// change no file of its image any more.
//
// The mounter finds it mounted then, as it does when the daemon was started again in
// the same mount namespace, and counts the container as its user.
func (s *Store) adoptRoot(ctx context.Context, id string, mounts []mount.Mount) error {
	if s.Roots == "" || len(mounts) != 1 || mounts[0].Type != "overlay" {
		return nil
	}
	target := filepath.Join(s.Roots, id)
	if mounted, err := mountinfo.Mounted(target); mounted || err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	h := s.Files.History(id, "")
	pid, err := h.RunningTask(ctx)
	if err != nil || pid == 0 {
		return err
	}
	err = attachRoot(pid, target, mounts)
	if now, again := h.RunningTask(ctx); err != nil && again == nil && now != pid {
		return nil // it has ended
	}
	if err != nil {
		return fmt.Errorf("it runs, and is mounted in another mount namespace than the daemon's, from which it could not be brought here: %w", err)
	}
	return nil
}

// attachRoot mounts the root of a process's mount namespace on target, if that is
// the overlay that mounts would make.
func attachRoot(pid int, target string, mounts []mount.Mount) error {
	root, err := cloneRoot(pid)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := os.Mkdir(target, 0o710); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move mount to", Path: target, Err: err}
	}
	// The process ID may be another's by now, and a privileged container may have
	// mounted something else on its root. Nobody looks at what is there before.
	points, err := snapshotter.MountPoints(mounts)
	if err == nil && !slices.Contains(points, target) {
		err = fmt.Errorf("the root of process %d is not the container's: %w", pid, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return errors.Join(err, mount.Unmount(target, unix.MNT_DETACH))
	}
	return nil
}

// cloneRoot returns a mount, which is mounted nowhere, of the root of a process's
// mount namespace.
func cloneRoot(pid int) (int, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return -1, err
	}
	defer namespace.Close()
	var root int
	inOwnThread(func() {
		// A mount namespace is entered by threads that share no working directory.
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			err = fmt.Errorf("unshare the working directory: %w", err)
			return
		}
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err != nil {
			err = fmt.Errorf("enter the mount namespace of process %d: %w", pid, err)
			return
		}
		if root, err = unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			err = fmt.Errorf("clone the root of process %d: %w", pid, err)
		}
	})
	return root, err
}

// inOwnThread calls f in a thread that ends after that. It is not the process's
// first one, whose namespaces are what /proc/self shows.
func inOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // until the goroutine ends, and the thread with it
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		inOwnThread(f) // in another one: this one is taken
		runtime.UnlockOSThread()
	}()
	<-done
}
