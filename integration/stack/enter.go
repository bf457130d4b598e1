package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command prepares a program to run inside the stack: in all its namespaces and
// its cgroup, with the environment of the daemons. Append to the Env of the
// result to change it. Working directory, standard streams, exit status and
// signals are those of the result, and a kill of it kills the program.
func (s *Stack) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, selfExe)
	cmd.Args = append([]string{"baleen-stack-" + roleEnter, strconv.Itoa(s.initPID), string(s.root), name}, args...)
	cmd.Env = append(s.env(), roleEnv+"="+roleEnter)
	cmd.WaitDelay = pipePatience
	return cmd
}

// pipePatience is how long output is awaited from what a program left running.
const pipePatience = 10 * time.Second

// forwarded are the signals that one may send to a Command.
var forwarded = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2}

// enterMain is a Command as its caller sees it. It expects the init's process
// ID, the stack's root (which is there for ps and for Leftovers), and the
// program with its arguments. Only a child gets into a PID namespace, so this
// process stays outside and stands in for it.
func enterMain(args []string) error {
	if len(args) < 3 {
		return errors.New("want the init's process ID, a root and a program")
	}
	initPID, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("enter stack: %w", err)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)

	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("enter stack: %w", err)
	}
	if err := enterNamespaces(initPID); err != nil {
		return err
	}
	// The child is this program once more, since Go cannot set the signal of
	// a parent's death for a child in another PID namespace.
	argv := append([]string{"baleen-stack-" + roleExec}, args[2:]...)
	pid, err := syscall.ForkExec(selfExe, argv, &syscall.ProcAttr{
		Dir:   dir,
		Env:   append(os.Environ(), roleEnv+"="+roleExec),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return fmt.Errorf("enter stack: %w", err)
	}
	go func() {
		for sig := range signals {
			_ = unix.Kill(pid, sig.(syscall.Signal))
		}
	}()
	return waitFor(pid)
}

// enterNamespaces moves this thread into the namespaces of a process. Those of
// children are entered too.
func enterNamespaces(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("enter namespaces of process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	// A mount namespace is not entered with the root and working directory
	// shared between threads.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter namespaces of process %d: %w", pid, err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	if err := unix.Setns(pidfd, all); err != nil {
		return fmt.Errorf("enter namespaces of process %d: %w", pid, err)
	}
	return nil
}

// waitFor returns the exit status of pid in the way of a shell.
func waitFor(pid int) error {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", pid, err)
		case status.Signaled():
			return exitStatus(128 + int(status.Signal()))
		}
		return exitStatus(status.ExitStatus())
	}
}

// execMain becomes the program of a Command, inside.
func execMain(args []string) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the caller's death: %w", err)
	}
	// The parent is out of sight and has no number here, as long as it lives.
	if os.Getppid() != 0 {
		return errors.New("the caller is gone")
	}
	own, _, err := currentCgroups("1")
	if err != nil {
		return err
	}
	if err := own.join(); err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, args, os.Environ()))
}
