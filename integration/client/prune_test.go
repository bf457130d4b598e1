package client_test

import (
	"errors"
	"fmt"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/diff/merge"
)

func prunePlain(t *testing.T, e *plainEnv) {
	one, two, three := e.plainImages(t)
	k := e.create(t, "pruned", one)
	for _, to := range []containerd.Image{two, three, one, two} {
		k.upgrade(t, to)
	}
	k.rollback(t, clientopts.ToRevision(2))
	gone, err := clientopts.PruneRevisions(k.ctx, k.client, k.ID(), containerstore.Retention{Keep: 1})
	if err != nil || fmt.Sprint(gone) != "[1 3 4]" {
		t.Errorf("removed were %v, %v", gone, err)
	}
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same"})
	k.listed(t, "2<1 example/app:2, 5<4 example/app:2, 6<2 example/app:2*")
	k.upgrade(t, one)
	k.must(t, files{"etc/both": "old", "etc/gone": "old", "etc/same": "same"})
}

// imageGone rolls a container back to an image that has been removed.
func imageGone(t *testing.T, e *plainEnv) {
	_, two, three := e.plainImages(t)
	k := e.create(t, "gone", two)
	k.upgrade(t, three)
	if err := e.client.ImageService().Delete(e.ctx, two.Name(), images.SynchronousDelete()); err != nil {
		t.Fatal(err)
	}
	k.rollback(t)
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same"})
	k.upgrade(t, three)
	k.must(t, files{"etc/both": "three"})
}

func upgradePolicy(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "policy", one)
	k.write(t, "etc/both", "mine")
	before := e.snapshots(t)
	err := k.Update(k.ctx, clientopts.WithUpgrade(two, clientopts.WithPolicy(func(string) merge.Policy { return merge.Fail })))
	var conflict *merge.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("an upgrade that is to fail gave %v", err)
	}
	if after := e.snapshots(t); len(after) > len(before)+1 { // the image is unpacked
		t.Errorf("it left %v, before there was %v", after, before)
	}
	var told []string
	k.upgrade(t, two,
		clientopts.WithPolicy(func(string) merge.Policy {
			for _, other := range []containerd.UpdateContainerOpts{clientopts.WithUpgrade(two), clientopts.WithRollback()} {
				if err := k.Update(k.ctx, other); !errdefs.IsConflict(err) {
					t.Errorf("a move in the middle of an upgrade gave %v", err)
				}
			}
			return merge.Image
		}),
		clientopts.WithReport(func(c merge.Conflict) { told = append(told, c.Path) }))
	if fmt.Sprint(told) != "[etc/both]" {
		t.Errorf("told were conflicts at %v", told)
	}
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same"})
}

func noPolicy(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "no.policy", one)
	err := k.Update(k.ctx, clientopts.WithUpgrade(two, clientopts.WithReport(func(merge.Conflict) {})))
	if !errdefs.IsNotImplemented(err) {
		t.Errorf("an upgrade that cannot tell conflicts gave %v", err)
	}
	k.upgrade(t, two)
}

// manyRollbacks stacks more layers than are kept.
func manyRollbacks(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "many", one)
	const rounds = 66
	for n := 1; n <= rounds; n++ {
		k.write(t, "data", fmt.Sprint(n))
		k.write(t, fmt.Sprint("file", n), "x")
		k.upgradeOnce(t, n, two)
		k.rollback(t, clientopts.ToRevision(2*n-1))
	}
	want := files{"etc/both": "old", "etc/gone": "old", "etc/same": "same", "data": fmt.Sprint(rounds)}
	for n := 1; n <= rounds; n++ {
		want[fmt.Sprint("file", n)] = "x"
	}
	k.must(t, want)
	if depth := k.depth(t); depth > 66 { // of the container, and the image's layer
		t.Errorf("the container stands on %d snapshots", depth)
	}
	k.upgrade(t, two)
	want["etc/both"], want["etc/new"] = "image", "two"
	delete(want, "etc/gone")
	k.must(t, want)
}

// depth is how many snapshots the container's is made of.
func (k *plainCtr) depth(t *testing.T) (n int) {
	t.Helper()
	info, err := k.Info(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name := info.SnapshotKey; name != ""; n++ {
		i, err := k.client.SnapshotService(info.Snapshotter).Stat(k.ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		name = i.Parent
	}
	return n
}

// upgradeOnce has the container leave what it is on.
func (k *plainCtr) upgradeOnce(t *testing.T, n int, to containerd.Image) {
	t.Helper()
	if n == 1 {
		k.upgrade(t, to)
		return
	}
	k.rollback(t, clientopts.ToRevision(1))
}
