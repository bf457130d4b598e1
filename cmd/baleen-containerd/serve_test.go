package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/diffservice"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/baleen-project/baleen/diff/differ"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// TestServerWaitsForItsRequests: one that is cut short at the end still takes
// back what it has begun.
func TestServerWaitsForItsRequests(t *testing.T) {
	var (
		server = newServer(ownedBySelf(t, t.TempDir()))
		began  = make(chan struct{})
		ended  atomic.Bool
	)
	slow := comparison(func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond)
		ended.Store(true)
		return ctx.Err()
	})
	diffapi.RegisterDiffServer(server, diffservice.FromApplierAndComparer(nil, slow))
	client := connect(t, server)
	go func() { _, _ = client.Diff(t.Context(), &diffapi.DiffRequest{}) }()
	<-began
	server.Stop()
	if !ended.Load() {
		t.Error("the server has ended before its request")
	}
}

// connect starts a server and returns a client of it.
func connect(t *testing.T, server *grpc.Server) diffapi.DiffClient {
	t.Helper()
	return diffapi.NewDiffClient(dial(t, server))
}

func dial(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	check(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { check(t, conn.Close()) })
	return conn
}

// TestServerSurvivesRequests: messages that lack what containerd always sends are
// an error to who sends them, and to nobody else.
func TestServerSurvivesRequests(t *testing.T) {
	server := newServer(ownedBySelf(t, t.TempDir()))
	diffapi.RegisterDiffServer(server, diffservice.FromApplierAndComparer(differ.New(nil, differ.Options{}), comparison(func(context.Context) error { return nil })))
	client := connect(t, server)
	if _, err := client.Apply(t.Context(), &diffapi.ApplyRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("a request without a descriptor: %v", err)
	}
	if _, err := client.Diff(t.Context(), &diffapi.DiffRequest{}); err != nil {
		t.Errorf("the one after it: %v", err)
	}
}

// TestServerSurvivesStreams: a panic while a list is sent is an error to who asked
// for it, and to nobody else.
func TestServerSurvivesStreams(t *testing.T) {
	server := newServer(ownedBySelf(t, t.TempDir()))
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(panicky{}))
	client := snapshotsapi.NewSnapshotsClient(dial(t, server))
	for range 2 {
		list, err := client.List(t.Context(), &snapshotsapi.ListSnapshotsRequest{})
		check(t, err)
		if _, err := list.Recv(); status.Code(err) != codes.Internal {
			t.Errorf("a list that panics: %v", err)
		}
	}
}

// panicky is a snapshotter whose walk panics.
type panicky struct{ snapshots.Snapshotter }

func (panicky) Walk(context.Context, snapshots.WalkFunc, ...string) error { panic("walk") }

// self is an identity service that answers what it holds.
type self struct {
	uuid string
	pid  int
	err  error
}

func (s *self) Server(context.Context, bool) (*introspection.ServerResponse, error) {
	var st unix.Stat_t
	if err := errors.Join(s.err, unix.Stat("/proc/self/ns/pid", &st)); err != nil {
		return nil, err
	}
	return &introspection.ServerResponse{UUID: s.uuid, Pid: uint64(s.pid), Pidns: st.Ino}, nil
}

// ownedBySelf is a guard that takes this process for the containerd it serves.
func ownedBySelf(t *testing.T, root string) *guard {
	t.Helper()
	return guardOf(t, root, &self{uuid: "one", pid: os.Getpid()})
}

func guardOf(t *testing.T, root string, who identity) *guard {
	t.Helper()
	g, err := newGuard(root, "/run/containerd.sock", who)
	check(t, err)
	return g
}

// TestRootBelongsToOne: the first containerd and the first name have the root, also
// after a restart; others change nothing in it.
func TestRootBelongsToOne(t *testing.T) {
	root := t.TempDir()
	request := func(g *guard, name string) error {
		server := newServer(g)
		snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(empty{}))
		client := snapshotsapi.NewSnapshotsClient(dial(t, server))
		_, err := client.Remove(t.Context(), &snapshotsapi.RemoveSnapshotRequest{Snapshotter: name})
		return err
	}
	lists := func(g *guard) error {
		server := newServer(g)
		snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(empty{}))
		_, err := snapshotsapi.NewSnapshotsClient(dial(t, server)).Stat(t.Context(), &snapshotsapi.StatSnapshotRequest{Snapshotter: "baleen"})
		return err
	}
	for _, c := range []struct {
		name     string
		who      *self
		plugin   string
		want     codes.Code
		contains string
	}{
		{"nobody answers yet", &self{err: errors.New("starting")}, "baleen", codes.Unavailable, "who it is"},
		{"the first", &self{uuid: "one", pid: os.Getpid()}, "baleen", codes.OK, ""},
		{"the same again", &self{uuid: "one", pid: os.Getpid()}, "baleen", codes.OK, ""},
		{"another one", &self{uuid: "two", pid: os.Getpid()}, "baleen", codes.FailedPrecondition, "belongs to containerd one"},
		{"another name", &self{uuid: "one", pid: os.Getpid()}, "second", codes.FailedPrecondition, `belongs to the proxy plugin "baleen"`},
		{"another process", &self{uuid: "one", pid: os.Getppid()}, "baleen", codes.FailedPrecondition, "is not the containerd at /run/containerd.sock"},
		{"the differ's", &self{uuid: "one", pid: os.Getpid()}, "", codes.OK, ""},
	} {
		err := request(guardOf(t, root, c.who), c.plugin)
		if status.Code(err) != c.want || err != nil && !strings.Contains(err.Error(), c.contains) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.contains)
		}
	}
	// While containerd starts, what changes nothing is answered.
	if err := lists(guardOf(t, root, &self{err: errors.New("starting")})); err != nil {
		t.Errorf("a read while nobody says who calls: %v", err)
	}
	if err := lists(guardOf(t, root, &self{uuid: "two", pid: os.Getpid()})); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a read by another containerd: %v", err)
	}
}

// TestCallerIsAskedForAgain: a containerd that could not be reached while it started
// is served as soon as it can be, and a caller that nobody sees is told why it is not.
func TestCallerIsAskedForAgain(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "containerd.sock")
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { check(t, conn.Close()) })
	g := guardOf(t, t.TempDir(), introspector{introspection.NewIntrospectionClient(conn)})
	server := newServer(g)
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(empty{}))
	client := snapshotsapi.NewSnapshotsClient(dial(t, server))

	_, err = client.Stat(t.Context(), &snapshotsapi.StatSnapshotRequest{Snapshotter: "baleen"})
	check(t, err)
	containerd := grpc.NewServer()
	introspection.RegisterIntrospectionServer(containerd, introspected{who: &self{uuid: "one", pid: os.Getpid()}})
	listener, err := net.Listen("unix", socket)
	check(t, err)
	go func() { _ = containerd.Serve(listener) }()
	t.Cleanup(containerd.Stop)
	_, err = client.Remove(t.Context(), &snapshotsapi.RemoveSnapshotRequest{Snapshotter: "baleen"})
	check(t, err)

	ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: &caller{}})
	if err := g.check(ctx, nil, "/x/Stat"); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "pid namespace") {
		t.Errorf("a caller that cannot be seen: %v", err)
	}
}

// introspected is a containerd that says who it is.
type introspected struct {
	introspection.UnimplementedIntrospectionServer
	who *self
}

func (i introspected) Server(ctx context.Context, _ *emptypb.Empty) (*introspection.ServerResponse, error) {
	return i.who.Server(ctx, false)
}

// empty is a snapshotter that has nothing and removes anything.
type empty struct{ snapshots.Snapshotter }

func (empty) Remove(context.Context, string) error { return nil }

func (empty) Stat(context.Context, string) (snapshots.Info, error) { return snapshots.Info{}, nil }

// TestCommitOntoAnotherParent: a newer containerd's request to commit a snapshot onto
// a parent that it was not prepared on is refused, and not half done.
func TestCommitOntoAnotherParent(t *testing.T) {
	sn, err := overlay.New(t.TempDir())
	check(t, err)
	t.Cleanup(func() { check(t, sn.Close()) })
	_, err = sn.Prepare(t.Context(), "active", "")
	check(t, err)
	server := newServer(ownedBySelf(t, t.TempDir()))
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(sn))
	client := snapshotsapi.NewSnapshotsClient(dial(t, server))

	request := &snapshotsapi.CommitSnapshotRequest{Snapshotter: "baleen", Key: "active", Name: "committed"}
	// Field 5 is the parent, in containerd's API 1.10.
	request.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 5, protowire.BytesType), "parent"))
	if _, err := client.Commit(t.Context(), request); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "field 5") {
		t.Errorf("a commit onto another parent: %v", err)
	}
	if info, err := sn.Stat(t.Context(), "active"); err != nil || info.Kind != snapshots.KindActive {
		t.Errorf("after it the snapshot is %+v: %v", info, err)
	}
	request.ProtoReflect().SetUnknown(nil)
	_, err = client.Commit(t.Context(), request)
	check(t, err)
}
