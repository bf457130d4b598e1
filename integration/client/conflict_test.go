package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/clientopts"
)

// givenUp upgrades a container whose last upgrade was made but never written,
// as long ago as it takes for nobody to wait for it.
func givenUp(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "given.up", one)
	k.write(t, "data", "1")
	record, err := e.client.ContainerService().Get(e.ctx, k.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := clientopts.WithUpgrade(two)(e.ctx, e.client, &record); err != nil {
		t.Fatal(err)
	}
	lost := snapshots.Info{Name: record.SnapshotKey, Labels: map[string]string{"io.baleen.unwritten": time.Now().Add(-time.Second).Format(time.RFC3339Nano)}}
	if _, err := e.client.SnapshotService(e.snapshotter).Update(e.ctx, lost, "labels.io.baleen.unwritten"); err != nil {
		t.Fatal(err)
	}
	k.upgrade(t, two)
	if slices.Contains(e.snapshots(t), lost.Name) {
		t.Errorf("snapshot %s is still there", lost.Name)
	}
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same", "data": "1"})
	k.listed(t, "1<0 example/app:1, 3<1 example/app:2*")
	k.rollback(t)
	k.must(t, files{"etc/both": "old", "etc/gone": "old", "etc/same": "same", "data": "1"})
}

// oneOfTwo moves a container twice at once, and from an old record.
func oneOfTwo(t *testing.T, e *plainEnv) {
	one, two, three := e.plainImages(t)
	k := e.create(t, "twice", one)
	k.write(t, "data", "1")
	for round := range 5 {
		errs := make([]error, 2)
		var both sync.WaitGroup
		for n, option := range []containerd.UpdateContainerOpts{clientopts.WithUpgrade(two), clientopts.WithUpgrade(three)} {
			both.Add(1)
			go func() { defer both.Done(); errs[n] = k.Update(k.ctx, option) }()
		}
		both.Wait()
		won := slices.Index(errs, nil)
		switch {
		case won < 0:
			t.Fatalf("both failed: %v", errs)
		case errs[1-won] != nil && !errdefs.IsConflict(errs[1-won]):
			t.Errorf("the second of two upgrades gave %v", errs[1-won])
		case errs[1-won] == nil:
			// They may just have come one after the other.
			t.Logf("round %d: both upgrades took place", round)
		}
		k.collect(t)
		k.do(t, func(root string) {
			if text, err := os.ReadFile(filepath.Join(root, "data")); string(text) != "1" {
				t.Errorf("the container's data are %q, %v", text, err)
			}
		})
	}
	stale, err := e.client.ContainerService().Get(e.ctx, k.ID())
	if err != nil {
		t.Fatal(err)
	}
	k.upgrade(t, two)
	if err := clientopts.WithRollback()(e.ctx, e.client, &stale); !errdefs.IsConflict(err) {
		t.Errorf("a move of a container that has been moved gave %v", err)
	}
	unwritten(t, k, three)
}

var errLater = errors.New("a later option fails")

// unwritten moves a container whose last move was made but not written.
func unwritten(t *testing.T, k *plainCtr, to containerd.Image) {
	before := k.own(t)
	fails := func(context.Context, *containerd.Client, *containers.Container) error { return errLater }
	if err := k.Update(k.ctx, clientopts.WithUpgrade(to), fails); !errors.Is(err, errLater) {
		t.Fatal(err)
	}
	if err := k.Update(k.ctx, clientopts.WithUpgrade(to)); !errdefs.IsConflict(err) {
		t.Errorf("an upgrade that is not written was no conflict, but %v", err)
	}
	k.collect(t)
	if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
		t.Fatal(err)
	}
	if after := k.own(t); len(after) != len(before) {
		t.Errorf("of an upgrade that was not written there is %v, before it there was %v", after, before)
	}
	k.upgrade(t, to)
}

// own are the container's snapshots: an image may have been unpacked meanwhile.
func (k *plainCtr) own(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(k.snapshots(t), func(name string) bool { return !strings.HasPrefix(name, k.ID()) })
}
