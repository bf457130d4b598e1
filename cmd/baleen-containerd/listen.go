package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// lockName is the file in the root that a daemon holds locked.
const lockName = "baleen-containerd.lock"

// lockRoot makes the root if need be, and has it for this process alone, until
// it ends. What the file says is for people.
func lockRoot(root string) (unlock func() error, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	path := filepath.Join(root, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of root: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := os.ReadFile(path)
		return nil, errors.Join(fmt.Errorf("root %s is in use by another baleen-containerd, process %s: %w", root, pid, errdefs.ErrFailedPrecondition), f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprint(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock root %s: %w", root, err), f.Close())
	}
	return f.Close, nil
}

// listen makes the socket, for root alone, in place of one that a killed daemon
// has left.
func listen(address string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(address), 0o711); err != nil {
		return nil, fmt.Errorf("make folder of socket: %w", err)
	}
	if err := removeStale(address); err != nil {
		return nil, err
	}
	mask := unix.Umask(0o177)
	defer unix.Umask(mask)
	listener, err := net.Listen("unix", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// removeStale removes a socket at which nobody listens.
func removeStale(address string) error {
	info, err := os.Lstat(address)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an old socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: %w", address, errdefs.ErrFailedPrecondition)
	}
	conn, err := net.DialTimeout("unix", address, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("another process listens on %s: %w", address, errdefs.ErrFailedPrecondition), conn.Close())
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("connect to the old socket: %w", err)
	}
	if err := os.Remove(address); err != nil {
		return fmt.Errorf("remove old socket: %w", err)
	}
	return nil
}
