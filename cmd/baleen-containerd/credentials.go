package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// caller is the process at the other end of a connection, as the kernel saw it
// when it connected. There is one for each connection.
type caller struct {
	credentials.CommonAuthInfo
	pid        int32                  // as this process sees it; 0 if it does not
	containerd atomic.Pointer[string] // its UUID, once it is known
}

// AuthType names the kind of credentials.
func (*caller) AuthType() string { return "unix" }

// unixCredentials tell who connects to a unix socket. Nothing is encrypted.
type unixCredentials struct {
	credentials.TransportCredentials
}

func newUnixCredentials() credentials.TransportCredentials {
	return unixCredentials{insecure.NewCredentials()}
}

// ServerHandshake asks the kernel, and sends nothing.
func (unixCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, fmt.Errorf("connection of type %T: want a unix socket: %w", conn, errdefs.ErrInvalidArgument)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var (
		peer  *unix.Ucred
		found error
	)
	if err := raw.Control(func(fd uintptr) { peer, found = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, nil, err
	}
	if found != nil {
		return nil, nil, fmt.Errorf("read the credentials of the connecting process: %w", found)
	}
	return conn, &caller{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, pid: peer.Pid}, nil
}

// innermostPID is the number that a process has in its own namespace.
func innermostPID(pid int32) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
			all := strings.Fields(numbers)
			if len(all) == 0 {
				break
			}
			return strconv.ParseUint(all[len(all)-1], 10, 32)
		}
	}
	return 0, fmt.Errorf("read the number of process %d in its own pid namespace: /proc/%[1]d/status has no NSpid: %w", pid, errdefs.ErrNotImplemented)
}
