package procfs

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run runs a program and returns how long it took and what it used, with all
// those of its children that it waited for.
func Run(cmd *exec.Cmd) (time.Duration, Usage, error) {
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, Usage{}, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	// As long as nobody has waited for it /proc still tells what it has read.
	err := waitUnreaped(cmd.Process.Pid)
	took := time.Since(began)
	var usage Usage
	var ioErr error
	if err == nil {
		usage, ioErr = readIO(cmd.Process.Pid)
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return took, usage, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	state := cmd.ProcessState
	usage.CPU = state.UserTime() + state.SystemTime()
	if rusage, ok := state.SysUsage().(*syscall.Rusage); ok {
		usage.Peak = rusage.Maxrss * 1024
		usage.Growth = usage.Peak // there was nothing before
	}
	return took, usage, ioErr
}

func waitUnreaped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
