package sysfault

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// unsyncedEnv has the paths of the programs that sync nothing, as in PATH.
const unsyncedEnv = "BALEEN_SYSFAULT_UNSYNCED"

// syncs are the calls by which a program has files written to disk.
var syncs = []int32{unix.SYS_SYNC, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC}

// Unsynced makes dir a folder with links to all that is in bin, but some
// programs replaced by ones that sync nothing: their calls to do so succeed at
// once and do nothing. So it is with all that they start. It returns what must
// be in the programs' environment.
func Unsynced(dir, bin string, programs ...string) (env []string, err error) {
	if err := replace(dir, bin, programs...); err != nil {
		return nil, err
	}
	list := ""
	for _, program := range programs {
		list += filepath.Join(bin, program) + string(filepath.ListSeparator)
	}
	return []string{unsyncedEnv + "=" + list}, nil
}

// becomeUnsynced becomes a program that syncs nothing, if this process was
// started in its place.
func becomeUnsynced() {
	for _, program := range filepath.SplitList(os.Getenv(unsyncedEnv)) {
		if program == "" || filepath.Base(os.Args[0]) != filepath.Base(program) {
			continue
		}
		runtime.LockOSThread() // a filter belongs to a thread
		// The error 0 is none.
		_, err := install(answering(syncs, unix.SECCOMP_RET_ERRNO), 0)
		if err == nil {
			err = unix.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
		}
		fmt.Fprintln(os.Stderr, fmt.Errorf("execute %s: %w", program, err))
		os.Exit(125)
	}
}
