package clientopts_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestMain leaves the examples out where no containerd can run: an example has
// no way to say so itself.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := stack.CheckMachine(); err != nil {
		fmt.Println("the examples are not run:", err)
		if err := flag.Set("test.skip", "^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// containerd starts one that has two images in namespace "example".
func containerd() (_ *client.Client, done func()) {
	ctx := context.Background()
	s, err := stack.Start(ctx, stack.Config{})
	if err != nil {
		panic(err)
	}
	stop := func() {
		if err := s.Stop(ctx); err != nil {
			fmt.Println(err)
		}
	}
	cl, err := withImages(ctx, s, "busybox", "hello-world")
	if err != nil {
		stop()
		panic(err)
	}
	return cl, func() {
		if err := cl.Close(); err != nil {
			fmt.Println(err)
		}
		stop()
	}
}

func withImages(ctx context.Context, s *stack.Stack, names ...string) (*client.Client, error) {
	if err := s.LoadImages(ctx, names...); err != nil {
		return nil, err
	}
	cl, err := client.New(s.ContainerdAddress())
	if err != nil {
		return nil, err
	}
	opts := []archive.ExportOpt{archive.WithPlatform(platforms.Default())}
	for _, name := range names {
		opts = append(opts, archive.WithImage(cl.ImageService(), "docker.io/library/"+name+":latest"))
	}
	var b bytes.Buffer
	err = cl.Export(namespaces.WithNamespace(ctx, s.ContainerdNamespace()), &b, opts...)
	if err == nil {
		_, err = cl.Import(namespaces.WithNamespace(ctx, "example"), &b)
	}
	return cl, err
}
