package criu_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/imageservice/criu"
)

// TestCheckProcesses compares what it says with what the kernel lets this process do: with
// CAP_SYS_RESOURCE all can be kept, without it those of other users cannot.
func TestCheckProcesses(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("starting a process of another user needs root")
	}
	own, others := sleeping(t, 0), sleeping(t, 1234)
	if err := criu.CheckProcesses([]uint32{own}); err != nil {
		t.Errorf("a process of the same user: %v", err)
	}
	err := criu.CheckProcesses([]uint32{own, others})
	var header unix.CapUserHeader
	var data [2]unix.CapUserData
	header.Version = unix.LINUX_CAPABILITY_VERSION_3
	if failure := unix.Capget(&header, &data[0]); failure != nil {
		t.Fatal(failure)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		if err != nil {
			t.Errorf("with the capability: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "(sleep) is of user 1234, and the daemon lacks the capability CAP_SYS_RESOURCE") {
		t.Errorf("without the capability: %v", err)
	}
	if err := criu.CheckProcesses([]uint32{1<<22 + 1}); err != nil { // above PID_MAX_LIMIT
		t.Errorf("a process that has ended: %v", err)
	}
}

// sleeping starts a process of a user, which ends with the test, and returns its id.
func sleeping(t *testing.T, user uint32) uint32 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return uint32(cmd.Process.Pid)
}
