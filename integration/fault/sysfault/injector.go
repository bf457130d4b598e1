package sysfault

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Injector answers for the calls of programs.
type Injector struct {
	socket   string
	listener *net.UnixListener
	serving  sync.WaitGroup

	mu   sync.Mutex
	plan func(Call) unix.Errno
	errs []error
}

// Listen makes an injector whose programs reach it at socket, a path.
func Listen(socket string) (*Injector, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for programs: %w", err)
	}
	in := &Injector{socket: socket, listener: l}
	in.serving.Add(1)
	go func() { defer in.serving.Done(); in.accept() }()
	return in, nil
}

// Bin makes dir a folder with links to all that is in bin, but one program
// replaced by one under the injector's filter. It returns what must be in that
// program's environment.
func (in *Injector) Bin(dir, bin, program string) (env []string, err error) {
	if err := replace(dir, bin, program); err != nil {
		return nil, err
	}
	return []string{programEnv + "=" + filepath.Join(bin, program), socketEnv + "=" + in.socket}, nil
}

// replace makes dir a folder with links to all that is in bin, but with links to
// this executable for the programs.
func replace(dir, bin string, programs ...string) error {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return fmt.Errorf("wrap %q: %w", programs, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("wrap %q: %w", programs, err)
	}
	replaced := 0
	for _, e := range entries {
		target := filepath.Join(bin, e.Name())
		if slices.Contains(programs, e.Name()) {
			target = self
			replaced++
		}
		if err := os.Symlink(target, filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("wrap %q: %w", programs, err)
		}
	}
	if replaced != len(programs) {
		return fmt.Errorf("wrap %q: not all of them are in %s", programs, bin)
	}
	return nil
}

// Set has plan asked for every call of the programs, one call at a time: it
// returns the error with which the call fails, or 0. Plans are asked while the
// programs stand still, so they must be quick and not wait for a program. With
// nil, all calls go on.
func (in *Injector) Set(plan func(Call) unix.Errno) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.plan = plan
}

// Close waits for all programs to end, and returns what went wrong.
func (in *Injector) Close() error {
	err := in.listener.Close()
	in.serving.Wait()
	return errors.Join(append(in.errs, err)...)
}

func (in *Injector) accept() {
	for {
		conn, err := in.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		fd, err := take(conn, err)
		if err != nil {
			in.failed(err)
			continue
		}
		in.serving.Add(1)
		go func() { defer in.serving.Done(); in.serve(fd) }()
	}
}

func (in *Injector) failed(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.errs = append(in.errs, err)
}

// take receives a filter's descriptor.
func take(conn *net.UnixConn, err error) (int, error) {
	if err != nil {
		return 0, fmt.Errorf("accept program: %w", err)
	}
	defer conn.Close()
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return 0, fmt.Errorf("take filter of program: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err == nil && len(messages) != 1 {
		err = fmt.Errorf("%d messages", len(messages))
	}
	if err != nil {
		return 0, fmt.Errorf("take filter of program: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err == nil && len(fds) != 1 {
		err = fmt.Errorf("%d descriptors", len(fds))
	}
	if err != nil {
		return 0, fmt.Errorf("take filter of program: %w", err)
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}

// serve answers until no process is under the filter any more.
func (in *Injector) serve(fd int) {
	defer unix.Close(fd)
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(ready, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			in.failed(fmt.Errorf("wait for calls: %w", err))
			return
		case ready[0].Revents&unix.POLLIN == 0:
			return
		}
		// Who asked may have been killed meanwhile, or interrupted: ENOENT.
		if err := in.answer(fd); err != nil && !errors.Is(err, unix.ENOENT) {
			in.failed(fmt.Errorf("answer call: %w", err))
			return
		}
	}
}

func (in *Injector) answer(fd int) error {
	n, err := receive(fd)
	if err != nil {
		return err
	}
	var errno unix.Errno
	in.mu.Lock()
	if in.plan != nil {
		errno = in.plan(describe(n))
	}
	in.mu.Unlock()
	return reply(fd, n.id, errno)
}
