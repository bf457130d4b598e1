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
	"google.golang.org/grpc/credentials/insecure"
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
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	check(t, err)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer conn.Close()
	go func() { _, _ = diffapi.NewDiffClient(conn).Diff(t.Context(), &diffapi.DiffRequest{}) }()
	<-began
	server.Stop()
	if !ended.Load() {
		t.Error("the server has ended before its request")
	}
}
