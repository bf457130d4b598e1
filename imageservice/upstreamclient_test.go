package imageservice_test

import (
	"context"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/baleen-project/baleen/imageservice"
)

// TestUpstreamClient: it has the namespace, and without a Service everything is as
// containerd's client does it. That it finds the Service the tests with a daemon tell.
func TestUpstreamClient(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///nobody", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	plain, err := containerd.NewWithConn(conn, containerd.WithDefaultNamespace("moby"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := imageservice.UpstreamClient(plain, "overlayfs")
	if err != nil || client == plain || client.DefaultNamespace() != "moby" || client.Conn() != plain.Conn() {
		t.Errorf("%+v: %v", client, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := imageservice.Pull(ctx, client, "example.com/nothing"); err == nil {
		t.Error("it pulled from nowhere")
	}
}
