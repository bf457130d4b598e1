package criu

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/printable"
)

// CheckProcesses returns an error that names the first of these processes which CRIU could
// not dump with the capabilities that this process has; nil if there is none. CRIU is run
// by containerd, which is assumed to have the same. Processes that have ended count for
// nothing.
func CheckProcesses(pids []uint32) error {
	for _, pid := range pids {
		if err := checkProcess(int(pid)); err != nil {
			return err
		}
	}
	return nil
}

// checkProcess asks what CRIU asks of each process: its limits. The kernel tells those of
// another user's process only with CAP_SYS_RESOURCE, prlimit(2).
func checkProcess(pid int) error {
	err := unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &unix.Rlimit{})
	if !errors.Is(err, unix.EPERM) {
		return nil
	}
	name, user := describe(pid)
	return fmt.Errorf("process %d (%s) is of user %s, and the daemon lacks the capability CAP_SYS_RESOURCE, without which CRIU keeps only processes of root", pid, name, user)
}

// describe returns the name and the user's id of a process, "?" if it has ended.
func describe(pid int) (name, user string) {
	name, user = "?", "?"
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return name, user
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch fields := strings.Fields(value); {
		case key == "Name":
			name = printable.Line(strings.TrimSpace(value)) // at most 15 bytes, TASK_COMM_LEN
		case key == "Uid" && len(fields) > 0:
			user = fields[0]
		}
	}
	return name, user
}
