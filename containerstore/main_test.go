package containerstore_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/integration/soak/mountns"
)

// TestMain gives the tests a mount namespace, for what they mount, and in it a file
// system in memory: each history is opened hundreds of times.
func TestMain(m *testing.M) {
	_ = log.SetLevel("fatal") // each test makes hundreds of calls fail
	mountns.Main(func() int {
		if os.Geteuid() != 0 {
			return m.Run() // they are skipped
		}
		code, err := inMemory(m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, "mount a file system for the tests:", err)
			return 125
		}
		return code
	})
}

func inMemory(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "containerstore")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=700"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, 0)) }()
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return 0, err
	}
	return run(), nil
}
