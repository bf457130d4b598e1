package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// roleEnv names the part that a process started from this program's own
// executable plays. It is set only for such a process, which unsets it before
// anything else.
const roleEnv = "BALEEN_STACK_ROLE"

const (
	roleKeeper = "keeper"
	roleInit   = "init"
	roleEnter  = "enter"
	roleExec   = "exec"
)

// selfExe works even when the executable has been removed, as `go test` and `go
// run` do when they end.
const selfExe = "/proc/self/exe"

// init turns the process into a keeper or the like if it was started as one,
// before any other package's main, TestMain or flag parsing gets to run.
func init() {
	role := os.Getenv(roleEnv)
	if role == "" {
		return
	}
	os.Unsetenv(roleEnv)
	// Namespaces and the signal of a parent's death belong to a thread. The
	// main one lives as long as the process.
	runtime.LockOSThread()
	os.Exit(play(role, os.Args[1:]))
}

func play(role string, args []string) int {
	var err error
	switch role {
	case roleKeeper:
		err = keeperMain(args)
	case roleInit:
		err = initMain(args)
	case roleEnter:
		err = enterMain(args)
	case roleExec:
		err = execMain(args)
	default:
		err = fmt.Errorf("%s=%s is no role of a stack", roleEnv, role)
	}
	if status := (exitStatus)(0); errors.As(err, &status) {
		return int(status)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		return 125
	}
	return 0
}

// exitStatus ends a role with that status and nothing more to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// roleCommand prepares this program to be started again as role. The name is
// what ps shows.
func roleCommand(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(selfExe)
	cmd.Args = append([]string{"baleen-stack-" + role}, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// inheritedFile is descriptor fd, passed by the process that started this one.
// Programs that this one starts do not get it.
func inheritedFile(fd uintptr, name string) *os.File {
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, name)
}
