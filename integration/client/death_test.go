package client_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientOptionsSurviveDeath cuts a move off before each of its calls, as if
// its process had been killed: not even clean-up takes place.
func TestClientOptionsSurviveDeath(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	for _, sn := range []string{"overlayfs", "native"} {
		e := newPlainEnv(t, s.ContainerdAddress(), "death", sn)
		one, two, three := e.plainImages(t)
		for _, image := range []containerd.Image{one, two, three} {
			if err := image.Unpack(e.ctx, sn); err != nil {
				t.Fatal(err)
			}
		}
		k := e.create(t, "dies."+sn, one)
		k.write(t, "data", "1")
		k.upgrade(t, two)
		k.write(t, "data", "2")
		had, want := files{"etc/both": "image", "etc/new": "two", "etc/same": "same", "data": "2"}, files{"etc/both": "three", "data": "2"}
		t.Run(sn+"/upgrade", func(t *testing.T) { k.dieEach(t, s, clientopts.WithUpgrade(three), had, want) })
		t.Run(sn+"/rollback", func(t *testing.T) { k.dieEach(t, s, clientopts.WithRollback(), want, had) })
	}
}

var errDead = errors.New("the process is dead")

// mortal is a client that makes only so many calls.
func mortal(t *testing.T, s *stack.Stack, calls int64) *containerd.Client {
	t.Helper()
	return counting(t, s, func(n int64) error {
		if n > calls {
			return errDead
		}
		return nil
	})
}

// counting is a client that asks before each of its calls.
func counting(t *testing.T, s *stack.Stack, ask func(n int64) error) *containerd.Client {
	t.Helper()
	var made atomic.Int64
	dead := func() error { return ask(made.Add(1)) }
	conn, err := grpc.NewClient("unix://"+s.ContainerdAddress(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if err := dead(); err != nil {
				return err
			}
			return invoke(ctx, method, in, out, c, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if err := dead(); err != nil {
				return nil, err
			}
			return stream(ctx, d, c, method, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := containerd.NewWithConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (k *plainCtr) dieEach(t *testing.T, s *stack.Stack, option containerd.UpdateContainerOpts, had, want files) {
	k.collect(t)
	before := k.left(t)
	for n := range int64(harness.MostCalls) {
		err := k.moveWith(t, mortal(t, s, n), option)
		if err == nil {
			t.Logf("cut before each of %d calls", n)
			k.must(t, want)
			return
		}
		info, err := k.Info(k.ctx)
		if err != nil {
			t.Fatal(err)
		}
		k.must(t, had)
		if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
			t.Fatalf("after %d calls: %v", n, err)
		}
		k.must(t, had)
		if now, err := k.Info(k.ctx); err != nil || now.SnapshotKey != info.SnapshotKey {
			t.Errorf("after %d calls and Discard the container is on %s, not %s, %v", n, now.SnapshotKey, info.SnapshotKey, err)
		}
		k.collect(t)
		// Ingests that were cut off are containerd's to remove, after a day.
		if after := k.left(t); !slices.Equal(before, after) {
			t.Errorf("after %d calls there was %v, and then %v", n, before, after)
		}
	}
	t.Fatalf("the move makes more than %d calls", harness.MostCalls)
}

func (k *plainCtr) moveWith(t *testing.T, client *containerd.Client, option containerd.UpdateContainerOpts) error {
	t.Helper()
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := client.LoadContainer(k.ctx, k.ID())
	if err != nil {
		return err
	}
	return c.Update(k.ctx, option)
}

// TestClientOptionsWithTasks upgrades a container that runs a program.
func TestClientOptionsWithTasks(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	e := newPlainEnv(t, s.ContainerdAddress(), "runs.programs", "overlayfs")
	shell := e.busybox(t, s)
	config := func(script string) ocispec.ImageConfig {
		return ocispec.ImageConfig{Env: []string{"PATH=/bin"}, Entrypoint: []string{"sh", "-c"}, Cmd: []string{script}}
	}
	one := e.imageOn(t, "example/counter:1", shell, config("echo one >>/log"))
	two := e.imageOn(t, "example/counter:2", shell, config("echo two >>/log; cat /version >>/log"), files{"version": "2"})
	k := e.create(t, "counter.1", one)
	refused := func(text string) {
		for _, option := range []containerd.UpdateContainerOpts{clientopts.WithUpgrade(two), clientopts.WithRollback()} {
			if err := k.Update(k.ctx, option); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), text) {
				t.Errorf("a move of a container that has a task gave %v", err)
			}
		}
	}
	k.runTask(t, func() { refused("containerd has a task of it") }, func() { refused("ctr tasks delete counter.1") })
	k.run(t)
	k.logged(t, "one\none\n")
	k.upgrade(t, two)
	k.run(t)
	k.logged(t, "one\none\ntwo\n2")
	k.rollback(t)
	k.run(t)
	k.logged(t, "one\none\none\n")
}

// run runs the container's program to its end.
func (k *plainCtr) run(t *testing.T) {
	t.Helper()
	k.runTask(t, func() {}, func() {})
}

// runTask is run that calls meanwhile while the program may run, and ended when it has
// ended and its task is still there.
func (k *plainCtr) runTask(t *testing.T, meanwhile, ended func()) {
	t.Helper()
	task, err := k.NewTask(k.ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	exited, err := task.Wait(k.ctx)
	if err == nil {
		err = task.Start(k.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	meanwhile()
	if status := <-exited; status.ExitCode() != 0 || status.Error() != nil {
		t.Errorf("the program ended with %d, %v", status.ExitCode(), status.Error())
	}
	ended()
	if _, err := task.Delete(k.ctx); err != nil {
		t.Fatal(err)
	}
}

// busybox takes the image over from Docker's namespace.
func (e *plainEnv) busybox(t *testing.T, s *stack.Stack) containerd.Image {
	t.Helper()
	if err := s.LoadImages(t.Context(), "busybox"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	theirs := namespaces.WithNamespace(e.ctx, s.ContainerdNamespace())
	err := e.client.Export(theirs, &b, archive.WithImage(e.client.ImageService(), "docker.io/library/busybox:latest"), archive.WithPlatform(platforms.Default()))
	if err != nil {
		t.Fatal(err)
	}
	images, err := e.client.Import(e.ctx, &b)
	if err != nil || len(images) != 1 {
		t.Fatalf("imported %d images, %v", len(images), err)
	}
	return containerd.NewImage(e.client, images[0])
}

func (k *plainCtr) logged(t *testing.T, want string) {
	t.Helper()
	k.collect(t)
	k.do(t, func(root string) {
		if text, err := os.ReadFile(filepath.Join(root, "log")); string(text) != want {
			t.Errorf("the container wrote %q, %v; want %q", text, err, want)
		}
	})
}
