package client_test

import (
	"path/filepath"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/fault"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClientOptionsFailCleanly fails every call that a move makes, also that
// which writes the record.
func TestClientOptionsFailCleanly(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	socket := filepath.Join(s.Root(), "plain.sock")
	p, err := fault.Listen(socket, s.ContainerdAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, sn := range []string{"overlayfs", "native"} {
		e := newPlainEnv(t, socket, "faults", sn)
		one, two, three := e.plainImages(t)
		for _, image := range []containerd.Image{one, two, three} {
			if err := image.Unpack(e.ctx, sn); err != nil {
				t.Fatal(err)
			}
		}
		k := e.create(t, "fails."+sn, one)
		k.write(t, "data", "1")
		k.upgrade(t, two)
		k.write(t, "data", "2")
		for _, of := range []struct {
			name   string
			option containerd.UpdateContainerOpts
			files  files
			want   files
		}{
			{"upgrade", clientopts.WithUpgrade(three), files{"etc/both": "image", "etc/new": "two", "etc/same": "same", "data": "2"}, files{"etc/both": "three", "data": "2"}},
			{"rollback", clientopts.WithRollback(clientopts.ToRevision(1)), files{"etc/both": "three", "data": "2"}, files{"etc/both": "old", "etc/gone": "old", "etc/same": "same", "data": "1"}},
		} {
			t.Run(sn+"/"+of.name, func(t *testing.T) { k.failEach(t, p, of.option, of.files, of.want) })
		}
	}
}

func (k *plainCtr) failEach(t *testing.T, p *fault.Proxy, option containerd.UpdateContainerOpts, had, want files) {
	k.collect(t)
	before := k.left(t)
	try := func(plan fault.Plan) (failed string, err error) {
		p.Set(plan)
		err = k.Update(k.ctx, option)
		_, failed = p.Clear()
		return failed, err
	}
	unmoved := func(failed string) {
		t.Helper()
		k.must(t, had)
		if after := k.left(t); !slices.Equal(before, after) {
			t.Errorf("%s failed, there was %v, and then %v", failed, before, after)
		}
	}
	failed, err := try(fault.Plan{Methods: []string{"Containers/Update"}, Nth: 1})
	if err == nil {
		t.Fatal("the record could not be written, and that is no error")
	}
	if err := clientopts.Discard(k.ctx, k.client, k.ID()); err != nil {
		t.Fatal(err)
	}
	unmoved(failed)
	for n := 1; n <= harness.MostCalls; n++ {
		failed, err := try(fault.Plan{Methods: append([]string{"containers", "tasks"}, harness.ImageServices...), Nth: n})
		if err != nil {
			unmoved(failed)
			continue
		}
		// What is left to fail is the end of the lease, which is tried again.
		t.Logf("%d calls failed, each once, and then %q, which did no harm", n-1, failed)
		if held, err := k.client.LeasesService().List(k.ctx); len(held) > 0 || err != nil {
			t.Errorf("left are the leases %v, %v", held, err)
		}
		k.must(t, want)
		return
	}
	t.Fatalf("the move makes more than %d calls", harness.MostCalls)
}
