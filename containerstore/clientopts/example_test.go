package clientopts_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/diff/merge"
)

// A container is moved to another image and back. No program runs in it here; if
// one does, its task is deleted before each Update, and a new one made after.
func Example() {
	cl, done := containerd() // client.New("/run/containerd/containerd.sock")
	defer done()
	if err := thereAndBack(cl); err != nil {
		fmt.Println(err)
	}
	// Output:
	// revision 1 is on docker.io/library/busybox:latest
	// revision 2 is on docker.io/library/hello-world:latest
	// revision 3 is on docker.io/library/busybox:latest, as 1 was, and is the present state
}

func thereAndBack(cl *client.Client) error {
	ctx := namespaces.WithNamespace(context.Background(), "example")
	one, err := cl.GetImage(ctx, "docker.io/library/busybox:latest")
	if err != nil {
		return err
	}
	two, err := cl.GetImage(ctx, "docker.io/library/hello-world:latest")
	if err != nil {
		return err
	}
	c, err := cl.NewContainer(ctx, "web", clientopts.WithNewSnapshot(one), client.WithNewSpec(oci.WithImageConfig(one)))
	if err != nil {
		return err
	}
	defer func() {
		if err := c.Delete(ctx, clientopts.WithRevisionCleanup); err != nil {
			fmt.Println(err)
		}
	}()
	if err := c.Update(ctx, clientopts.WithUpgrade(two)); err != nil {
		return err
	}
	if err := c.Update(ctx, clientopts.WithRollback()); err != nil {
		return err
	}
	revisions, err := clientopts.Revisions(ctx, cl, c.ID())
	for _, r := range revisions {
		fmt.Printf("revision %d is on %s", r.Number, r.Image)
		if r.Current {
			fmt.Printf(", as %d was, and is the present state", r.Previous)
		}
		fmt.Println()
	}
	return err
}

// The new image wins in /etc, the container anywhere else, and conflicts are
// told.
func ExampleWithUpgrade() {
	_ = func(ctx context.Context, c client.Container, to client.Image) error {
		return c.Update(ctx, clientopts.WithUpgrade(to,
			clientopts.WithPolicy(func(path string) merge.Policy {
				if len(path) > 4 && path[:4] == "etc/" {
					return merge.Image
				}
				return merge.Keep
			}),
			clientopts.WithReport(func(c merge.Conflict) { fmt.Println(c) }),
		))
	}
}

// The container goes back to a revision that has been chosen from the list, and
// gets another program than it had there.
func ExampleWithRollback() {
	_ = func(ctx context.Context, c client.Container) error {
		spec, err := c.Spec(ctx)
		if err != nil {
			return err
		}
		return c.Update(ctx,
			clientopts.WithRollback(clientopts.ToRevision(3)),
			client.UpdateContainerOpts(client.WithSpec(spec, oci.WithProcessArgs("/bin/repair"))))
	}
}

// A container with a user namespace, whose root is user 100000 of the machine.
// Its program sees the image's files as the image has them.
func ExampleWithRemappedSnapshot() {
	cl, done := containerd() // client.New("/run/containerd/containerd.sock")
	defer done()
	if err := mapped(cl); err != nil {
		fmt.Println(err)
	}
	// Output:
	// it ended with 0
}

func mapped(cl *client.Client) (err error) {
	ctx := namespaces.WithNamespace(context.Background(), "example")
	image, err := cl.GetImage(ctx, "docker.io/library/busybox:latest")
	if err != nil {
		return err
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	c, err := cl.NewContainer(ctx, "mapped",
		clientopts.WithRemappedSnapshot("mapped", image, 100000, 100000),
		client.WithNewSpec(oci.WithImageConfig(image), oci.WithUserNamespace(ids, ids),
			oci.WithProcessArgs("sh", "-c", "test -O /bin/sh && echo new > /bin/new")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Delete(ctx, client.WithSnapshotCleanup)) }()
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		return err
	}
	defer func() {
		_, derr := task.Delete(ctx, client.WithProcessKill)
		err = errors.Join(err, derr)
	}()
	ended, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	if err := task.Start(ctx); err != nil {
		return err
	}
	status := <-ended
	fmt.Println("it ended with", status.ExitCode())
	return nil
}

// Where the machine's root is its initial RAM disk, pivot_root(2) is refused.
func ExampleWithNoPivotRoot() {
	_ = func(ctx context.Context, c client.Container) (client.Task, error) {
		return c.NewTask(ctx, cio.NewCreator(cio.WithStdio), clientopts.WithNoPivotRoot)
	}
}
