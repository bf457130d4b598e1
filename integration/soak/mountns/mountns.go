package mountns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the process that is in the namespace already.
const insideEnv = "BALEEN_MOUNTNS"

// Main calls main and exits with the status that it returns. It does so in a
// second process of the same program, with the same arguments, standard streams
// and signals; the first one only waits. Without root there is no namespace and
// no second process. Call it first thing in main or TestMain.
func Main(main func() int) {
	if os.Getenv(insideEnv) != "" || os.Geteuid() != 0 {
		os.Unsetenv(insideEnv)
		os.Exit(main())
	}
	status, err := again()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: enter a mount namespace: %v\n", os.Args[0], err)
		status = 125
	}
	os.Exit(status)
}

func again() (int, error) {
	// The kernel sees the death of the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for sig := range signals {
			_ = cmd.Process.Signal(sig)
		}
	}()
	err := cmd.Wait()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return ended.ExitCode(), nil
	}
	return 0, err
}
