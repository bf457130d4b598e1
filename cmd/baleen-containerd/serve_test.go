package main

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	"github.com/containerd/containerd/v2/contrib/diffservice"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/baleen-project/baleen/diff/differ"
)

// TestServerWaitsForItsRequests: one that is cut short at the end still takes
// back what it has begun.
func TestServerWaitsForItsRequests(t *testing.T) {
	var (
		server = newServer()
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
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	check(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { check(t, conn.Close()) })
	return diffapi.NewDiffClient(conn)
}

// TestServerSurvivesRequests: messages that lack what containerd always sends are
// an error to who sends them, and to nobody else.
func TestServerSurvivesRequests(t *testing.T) {
	server := newServer()
	diffapi.RegisterDiffServer(server, diffservice.FromApplierAndComparer(differ.New(nil, differ.Options{}), comparison(func(context.Context) error { return nil })))
	client := connect(t, server)
	if _, err := client.Apply(t.Context(), &diffapi.ApplyRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("a request without a descriptor: %v", err)
	}
	if _, err := client.Diff(t.Context(), &diffapi.DiffRequest{}); err != nil {
		t.Errorf("the one after it: %v", err)
	}
}
