package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// ownerName is the file in the root that says who the snapshots belong to.
	ownerName = "owner.json"
	// identityTimeout bounds the question to containerd who it is. Containerd may
	// wait for our answer before it answers others.
	identityTimeout = 5 * time.Second
)

// owner is who the snapshots of a root belong to. A second containerd knows
// nothing of the first one's snapshots, and its garbage collection would remove
// them. So would the same containerd under a second plugin name.
type owner struct {
	// Containerd is the UUID that containerd keeps in its own root.
	Containerd string `json:"containerd"`
	// Snapshotter is the name of the proxy plugin in containerd's configuration.
	Snapshotter string `json:"snapshotter,omitempty"`
}

// identity is containerd's service that says who it is. It may be waited for, if
// containerd is not there yet.
type identity interface {
	Server(ctx context.Context, wait bool) (*introspection.ServerResponse, error)
}

// introspector asks containerd by a connection to it.
type introspector struct {
	client introspection.IntrospectionClient
}

// Server asks who containerd is. Without waiting for it, a connection that has just
// failed is not tried again for some seconds.
func (i introspector) Server(ctx context.Context, wait bool) (*introspection.ServerResponse, error) {
	return i.client.Server(ctx, &emptypb.Empty{}, grpc.WaitForReady(wait))
}

// guard refuses requests of callers that the root does not belong to. A nil one
// refuses none.
type guard struct {
	root       string
	containerd string // its socket, for messages
	identity   identity

	mu    sync.Mutex
	owner owner
}

// newGuard reads whom the root belongs to. A root without an owner gets one with
// the first request.
func newGuard(root, containerd string, identity identity) (*guard, error) {
	g := &guard{root: root, containerd: containerd, identity: identity}
	text, err := os.ReadFile(filepath.Join(root, ownerName))
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &g.owner)
	}
	if err != nil {
		return nil, fmt.Errorf("read owner of root %s: %w", root, err)
	}
	return g, nil
}

// unary checks the caller of a request.
func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := g.check(ctx, req, info.FullMethod); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return handler(ctx, req)
}

// stream checks the caller of a request whose answer is a stream.
func (g *guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &guardedStream{stream, g, info.FullMethod})
}

// guardedStream checks its message: only that names the snapshotter.
type guardedStream struct {
	grpc.ServerStream
	guard  *guard
	method string
}

// RecvMsg receives the request.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return errgrpc.ToGRPC(s.guard.check(s.Context(), m, s.method))
}

// reads are the requests that change nothing. They are answered while containerd
// does not say who it is, as in the midst of its start.
var reads = map[string]bool{"Stat": true, "Mounts": true, "List": true, "Usage": true}

// check returns an error if the request comes from a process that the root does
// not belong to: FailedPrecondition, or Unavailable if nobody says who it is.
func (g *guard) check(ctx context.Context, req any, method string) error {
	if g == nil {
		return nil
	}
	name := ""
	if r, ok := req.(interface{ GetSnapshotter() string }); ok {
		name = r.GetSnapshotter()
	}
	read := reads[path.Base(method)]
	caller, err := g.caller(ctx, !read)
	if errdefs.IsUnavailable(err) && read {
		return nil
	}
	if err == nil {
		err = g.belongs(caller, name)
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("method", method).Warn("refused a request")
	}
	return err
}

// caller returns the UUID of the containerd that a request comes from. Once it is
// known of a connection nobody is asked again. Requests do not wait for each other.
func (g *guard) caller(ctx context.Context, wait bool) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", fmt.Errorf("the caller is unknown: %w", errdefs.ErrFailedPrecondition)
	}
	c, ok := p.AuthInfo.(*caller)
	if !ok {
		return "", fmt.Errorf("the request did not come through the socket: %w", errdefs.ErrFailedPrecondition)
	}
	if known := c.containerd.Load(); known != nil {
		return *known, nil
	}
	if c.pid == 0 {
		return "", fmt.Errorf("the calling process is in another pid namespace: baleen-containerd must run in containerd's pid namespace, or in one above it: %w", errdefs.ErrFailedPrecondition)
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	answer, err := g.identity.Server(ctx, wait)
	if err != nil {
		return "", fmt.Errorf("ask containerd at %s who it is: %w: %w", g.containerd, err, errdefs.ErrUnavailable)
	}
	same, err := c.is(answer.GetPid(), answer.GetPidns())
	if err != nil {
		return "", fmt.Errorf("look up the calling process %d: %w: %w", c.pid, err, errdefs.ErrUnavailable)
	}
	if !same {
		return "", fmt.Errorf("process %d is not the containerd at %s, which this baleen-containerd serves: every containerd needs its own baleen-containerd: %w",
			c.pid, g.containerd, errdefs.ErrFailedPrecondition)
	}
	uuid := answer.GetUUID()
	c.containerd.Store(&uuid)
	return uuid, nil
}

// belongs compares a caller with the owner of the root, which it becomes if there
// is none. The differ's requests name no snapshotter.
func (g *guard) belongs(containerd, snapshotter string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := g.owner
	if want.Containerd == "" {
		want.Containerd = containerd
	}
	if want.Snapshotter == "" {
		want.Snapshotter = snapshotter
	}
	switch {
	case want.Containerd != containerd:
		return fmt.Errorf("root %s belongs to containerd %s, and the one at %s is %s: use another --root, or remove this one if that containerd is gone: %w",
			g.root, want.Containerd, g.containerd, containerd, errdefs.ErrFailedPrecondition)
	case snapshotter != "" && want.Snapshotter != snapshotter:
		return fmt.Errorf("root %s belongs to the proxy plugin %q of containerd, and the request comes from %q: every plugin needs its own baleen-containerd: %w",
			g.root, want.Snapshotter, snapshotter, errdefs.ErrFailedPrecondition)
	case want == g.owner:
		return nil
	}
	if err := saveOwner(g.root, want); err != nil {
		return fmt.Errorf("record the owner of root %s: %w", g.root, err)
	}
	g.owner = want
	return nil
}

// saveOwner writes the file anew. It is on disk before the first snapshot is.
func saveOwner(root string, o owner) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	name := filepath.Join(root, ownerName)
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(root)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// is reports whether the caller is the process with a number in a namespace of
// process numbers, which is named by its inode.
func (c *caller) is(pid, namespace uint64) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", c.pid), &st); err != nil {
		return false, err
	}
	own, err := innermostPID(c.pid)
	return st.Ino == namespace && own == pid, err
}
