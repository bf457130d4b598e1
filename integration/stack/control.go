package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// call sends one request to the stack's init and returns its answer.
func (s *Stack) call(ctx context.Context, req request) (response, error) {
	resp, err := exchange(ctx, s.root.controlSocket(), req)
	if err != nil {
		return response{}, fmt.Errorf("%s %s of stack %s: %w", req.Op, req.Name, s.root, err)
	}
	return resp, nil
}

func exchange(ctx context.Context, socket string, req request) (response, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return response{}, err
	}
	defer conn.Close()
	// Closing is what gets a pending read out of a cancelled context.
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	var resp response
	err = json.NewEncoder(conn).Encode(req)
	if err == nil {
		err = json.NewDecoder(conn).Decode(&resp)
	}
	if ctx.Err() != nil {
		return response{}, ctx.Err()
	}
	if err != nil {
		return response{}, err
	}
	if resp.Error != "" {
		return response{}, errors.New(resp.Error)
	}
	return resp, nil
}

// outerPID finds the process that is pid in the PID namespace of init, as this
// process sees it.
func outerPID(initPID, pid int) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", initPID))
	if err != nil {
		return 0, fmt.Errorf("find process %d of the stack: %w", pid, err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		return 0, fmt.Errorf("find process %d of the stack: %w", pid, err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != namespace {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		if innermostPID(dir) == pid {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("process %d of the stack has ended", pid))
}

// innermostPID reads which number the process of a folder of /proc has in its
// own PID namespace, or 0.
func innermostPID(dir string) int {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(numbers)
			pid, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				return 0
			}
			return pid
		}
	}
	return 0
}
