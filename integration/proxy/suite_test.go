package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestProxySnapshotterSuite runs containerd's own tests of a snapshotter on
// baleen-containerd, through its socket. Each has a daemon of its own, which must
// end well.
func TestProxySnapshotterSuite(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting snapshots needs root")
	}
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	// By this name the suite knows that directories below cannot be renamed.
	testsuite.SnapshotterSuite(t, "overlayfs", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		return startProxy(ctx, filepath.Join(bin, string(stack.Proxy)), root)
	})
}

func startProxy(ctx context.Context, program, root string) (snapshots.Snapshotter, func() error, error) {
	socket := filepath.Join(root, "socket")
	var said bytes.Buffer
	// Not CommandContext: that would kill it.
	cmd := exec.Command(program, "--root", filepath.Join(root, "root"), "--address", socket, "--any-caller")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The kernel sees the death of the thread that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, err
	}
	stop := func() error {
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), <-ended)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, said.String())
		}
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return nil, nil, errors.Join(err, stop())
		}
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	sn := proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "baleen")
	return sn, func() error { return errors.Join(sn.Close(), conn.Close(), stop()) }, nil
}
