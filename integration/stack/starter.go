package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// keeperHandle is a keeper as seen by the process that started it.
type keeperHandle struct {
	root layout
	cmd  *exec.Cmd
	// pipe keeps the keeper going as long as it is open, and orders writes
	// to it.
	pipe       io.Closer
	orders     *json.Encoder
	reportPipe io.Closer
	reports    *json.Decoder
}

// startKeeper starts a keeper for root and waits until the init is ready.
func startKeeper(root layout, first orders) (*keeperHandle, error) {
	reports, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer theirs.Close()
	cmd := roleCommand(roleKeeper, string(root))
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		reports.Close()
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	theirs.Close() // or else the reports would never end

	k := &keeperHandle{
		root: root, cmd: cmd,
		pipe: pipe, orders: json.NewEncoder(pipe),
		reportPipe: reports, reports: json.NewDecoder(reports),
	}
	err = k.orders.Encode(first)
	if err == nil {
		err = k.readReport()
	}
	if err != nil {
		return nil, errors.Join(err, k.end())
	}
	return k, nil
}

func (k *keeperHandle) readReport() error {
	var rep report
	if err := k.reports.Decode(&rep); err != nil {
		return fmt.Errorf("no report from keeper: %w", err)
	}
	if rep.Error != "" {
		return errors.New(rep.Error)
	}
	return nil
}

// detach lets the keeper outlive this process.
func (k *keeperHandle) detach() error {
	if err := k.orders.Encode(orders{Detach: true}); err != nil {
		return fmt.Errorf("detach keeper: %w", err)
	}
	return nil
}

// end makes the keeper take the stack down and waits until it has done so. If
// the keeper was killed it sweeps up in its place.
func (k *keeperHandle) end() error {
	// The end of the pipe would do, but not for one that is detached.
	_ = k.cmd.Process.Signal(unix.SIGTERM) // fails only if it has ended
	k.pipe.Close()
	defer k.reportPipe.Close()
	err := k.readReport()
	if errors.Is(err, io.EOF) {
		err = nil // it had nothing to complain about
	}
	if werr := k.cmd.Wait(); err == nil && werr != nil {
		err = errors.Join(fmt.Errorf("keeper of stack %s: %w", k.root, werr), sweepRoot(k.root))
	}
	return err
}
