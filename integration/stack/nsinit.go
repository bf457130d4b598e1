package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// initMain is process 1 of the stack's namespaces. It expects the root as its
// argument, as descriptor 3 a pipe that has a byte when it may begin, and as
// descriptor 4 one for its report.
func initMain(args []string) error {
	if len(args) != 1 {
		return errors.New("want the stack's root as the only argument")
	}
	root := layout(args[0])
	signal.Ignore(unix.SIGPIPE)
	gate := inheritedFile(3, "gate")
	ready := inheritedFile(4, "report")
	if _, err := gate.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for keeper: %w", err)
	}
	gate.Close()

	listener, err := setUp(root)
	rep := report{}
	if err != nil {
		rep.Error = err.Error()
	}
	if werr := json.NewEncoder(ready).Encode(rep); werr != nil || err != nil {
		return errors.Join(err, werr)
	}
	ready.Close()
	return newSupervisor().serve(listener)
}

// setUp makes the namespaces fit to run daemons in.
func setUp(root layout) (net.Listener, error) {
	if err := unix.Sethostname([]byte(root.cgroup())); err != nil {
		return nil, fmt.Errorf("set host name: %w", err)
	}
	if err := setUpMounts(root); err != nil {
		return nil, err
	}
	rec, err := readRecord(root)
	if err != nil {
		return nil, err
	}
	if err := setUpEtc(root, rec.Config.Etc); err != nil {
		return nil, err
	}
	if err := hidePrograms(rec.Config.searchPath(rec.Bin), rec.Config.Without); err != nil {
		return nil, err
	}
	if err := setUpNetwork(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", root.controlSocket())
	if err != nil {
		return nil, fmt.Errorf("listen for requests: %w", err)
	}
	if err := os.Chmod(root.controlSocket(), 0o600); err != nil {
		return nil, fmt.Errorf("listen for requests: %w", err)
	}
	return listener, nil
}
