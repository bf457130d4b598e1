package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/stack"
)

type files = map[string]string

// plainImages are three versions of an image.
func (e *plainEnv) plainImages(t *testing.T) (one, two, three containerd.Image) {
	t.Helper()
	config := func(version string) ocispec.ImageConfig {
		return ocispec.ImageConfig{
			Env: []string{"VERSION=" + version, "ONLY" + version + "=yes"}, Cmd: []string{"/run", version}, WorkingDir: "/" + version,
		}
	}
	base := files{"etc/": "", "etc/both": "old", "etc/gone": "old", "etc/same": "same"}
	one = e.image(t, "example/app:1", config("1"), base)
	two = e.image(t, "example/app:2", config("2"), base, files{"etc/both": "image", "etc/new": "two", "etc/gone": "-"})
	three = e.image(t, "example/app:3", config("3"), files{"etc/": "", "etc/both": "three"})
	return one, two, three
}

// TestClientOptions moves containers that only containerd knows of.
func TestClientOptions(t *testing.T) {
	s := stack.ForTest(t, stack.Config{})
	for _, sn := range []string{"overlayfs", "native"} {
		e := newPlainEnv(t, s.ContainerdAddress(), "some.namespace-"+sn, sn)
		for name, test := range map[string]func(*testing.T, *plainEnv){
			"forth and back": forthAndBack, "adopted": adoptedContainer, "spec": specFollows, "delete": deletedContainer,
			"user": userFollows, "labels": birthLabels, "mapped": mappedIDs, "given up": givenUp,
			"one of two": oneOfTwo, "birth": failedBirth, "prune": prunePlain, "image gone": imageGone,
		} {
			t.Run(sn+"/"+name, func(t *testing.T) { test(t, e) })
		}
	}
	e := newPlainEnv(t, s.ContainerdAddress(), "default", "overlayfs")
	t.Run("policy", func(t *testing.T) { upgradePolicy(t, e) })
	t.Run("many", func(t *testing.T) { manyRollbacks(t, e) })
	t.Run("no policy without layers", func(t *testing.T) {
		noPolicy(t, newPlainEnv(t, s.ContainerdAddress(), "default", "native"))
	})
}

func forthAndBack(t *testing.T, e *plainEnv) {
	one, two, three := e.plainImages(t)
	k := e.create(t, "web.v1.r2", one)
	if err := k.Update(k.ctx, clientopts.WithRollback()); !errors.Is(err, containerstore.ErrNoPreviousRevision) || !errdefs.IsNotFound(err) {
		t.Errorf("a rollback of a new container gave %v", err)
	}
	k.write(t, "etc/both", "mine")
	k.write(t, "data", "1")
	k.must(t, files{"etc/both": "mine", "etc/gone": "old", "etc/same": "same", "data": "1"})

	k.upgrade(t, two)
	k.imageIs(t, two.Name())
	k.must(t, files{"etc/both": "mine", "etc/new": "two", "etc/same": "same", "data": "1"})
	k.write(t, "data", "2")
	k.do(t, func(root string) {
		if err := os.Remove(filepath.Join(root, "etc/same")); err != nil {
			t.Fatal(err)
		}
	})
	k.upgrade(t, three)
	k.must(t, files{"etc/both": "mine", "data": "2"})
	k.listed(t, "1<0 example/app:1, 2<1 example/app:2, 3<2 example/app:3*")

	k.rollback(t)
	k.imageIs(t, two.Name())
	k.must(t, files{"etc/both": "mine", "etc/new": "two", "data": "2"})
	k.write(t, "data", "3")
	k.rollback(t) // to the same again
	k.must(t, files{"etc/both": "mine", "etc/new": "two", "data": "2"})
	k.rollback(t, clientopts.ToRevision(1))
	k.imageIs(t, one.Name())
	k.must(t, files{"etc/both": "mine", "etc/gone": "old", "etc/same": "same", "data": "1"})
	k.rollback(t, clientopts.ToRevision(4))
	k.must(t, files{"etc/both": "mine", "etc/new": "two", "data": "3"})
	k.listed(t, "1<0 example/app:1, 2<1 example/app:2, 3<2 example/app:3, 4<2 example/app:2, 5<2 example/app:2, 6<1 example/app:1, 7<4 example/app:2*")
	// What has been rolled back is upgraded with all of its layers.
	k.upgrade(t, three)
	k.must(t, files{"etc/both": "mine", "data": "3"})

	if err := k.Update(k.ctx, clientopts.WithRollback(clientopts.ToRevision(99))); !errdefs.IsNotFound(err) || errors.Is(err, containerstore.ErrNoPreviousRevision) {
		t.Errorf("a rollback to an unknown revision gave %v", err)
	}
	if err := k.Update(k.ctx, clientopts.WithRollback(clientopts.ToRevision(8))); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a rollback to where it is gave %v", err)
	}
	k.must(t, files{"etc/both": "mine", "data": "3"})
	e.labelled(t, k, three)
}

// labelled checks the labels that others may read.
func (e *plainEnv) labelled(t *testing.T, k *plainCtr, image containerd.Image) {
	t.Helper()
	labels := k.snapshot(t).Labels
	if previous, of := labels["docker.com/revision.previous"], labels["docker.com/revision.image"]; previous != "7" || of != image.Target().Digest.String() {
		t.Errorf("the previous revision is labelled %q, the image %q", previous, of)
	}
}

func adoptedContainer(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	if err := one.Unpack(e.ctx, e.snapshotter); err != nil {
		t.Fatal(err)
	}
	c, err := e.client.NewContainer(e.ctx, "adopted", containerd.WithSnapshotter(e.snapshotter), containerd.WithNewSnapshot("adopted-key", one))
	if err != nil {
		t.Fatal(err)
	}
	k := &plainCtr{e, c}
	k.write(t, "data", "1")
	k.upgrade(t, two)
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same", "data": "1"})
	k.rollback(t)
	k.must(t, files{"etc/both": "old", "etc/gone": "old", "etc/same": "same", "data": "1"})
	k.listed(t, "1<0 example/app:1, 2<1 example/app:2, 3<1 example/app:1*")
	if err := k.Delete(k.ctx, clientopts.WithRevisionCleanup); err != nil {
		t.Fatal(err)
	}
	e.nothingOf(t, "adopted")
}

// specFollows upgrades a container with arguments and a variable of its own, and
// one without.
func specFollows(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	for _, of := range []struct {
		id, args string
		own      []string
	}{{"own", "/mine", []string{"/mine"}}, {"images", "/run 2", nil}} {
		k := e.create(t, "spec-"+of.id, one, of.own...)
		tells := func(what, env, args, cwd string) {
			t.Helper()
			spec, err := k.Spec(k.ctx)
			if err != nil {
				t.Fatal(err)
			}
			p := spec.Process
			if got := strings.Join(p.Env, " "); got != env || strings.Join(p.Args, " ") != args || p.Cwd != cwd {
				t.Errorf("%s the spec has %v, %v, %s; want %s, %s, %s", what, p.Env, p.Args, p.Cwd, env, args, cwd)
			}
		}
		before := "/run 1"
		if of.own != nil {
			before = of.args
		}
		tells("at first", "VERSION=1 ONLY1=yes", before, "/1")
		k.upgrade(t, two)
		tells("after an upgrade", "VERSION=2 ONLY2=yes", of.args, "/2")
		k.rollback(t)
		tells("after a rollback", "VERSION=1 ONLY1=yes", before, "/1")
	}
}

// userFollows upgrades to an image in which the user has another number.
func userFollows(t *testing.T, e *plainEnv) {
	version := func(n int) containerd.Image {
		return e.image(t, fmt.Sprint("example/user:", n), ocispec.ImageConfig{User: "app", Cmd: []string{"/run"}},
			files{"etc/": "", "etc/passwd": fmt.Sprintf("root:x:0:0::/:\napp:x:%d:%d::/:\n", n, n), "etc/group": fmt.Sprintf("more:x:%d:app\n", n+1)})
	}
	one, two := version(1000), version(2000)
	k := e.create(t, "user", one)
	is := func(want string) {
		t.Helper()
		spec, err := k.Spec(k.ctx)
		if err != nil {
			t.Fatal(err)
		}
		u := spec.Process.User
		if got := fmt.Sprint(u.UID, u.GID, u.AdditionalGids); got != want {
			t.Errorf("the user is %s, want %s", got, want)
		}
	}
	is("1000 1000 [1000 1001]")
	k.upgrade(t, two)
	is("2000 2000 [2000 2001]")
	k.rollback(t)
	is("1000 1000 [1000 1001]")
	own, err := k.Spec(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Update(k.ctx, containerd.UpdateContainerOpts(containerd.WithSpec(own, oci.WithUserID(7)))); err != nil {
		t.Fatal(err)
	}
	k.upgrade(t, two)
	is("7 0 [0]")
}

// birthLabels makes a container with labels of the caller's, on the snapshotter
// that the namespace chooses.
func birthLabels(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	namespace, err := namespaces.NamespaceRequired(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.client.NamespaceService().SetLabel(e.ctx, namespace, defaults.DefaultSnapshotterNSLabel, e.snapshotter); err != nil {
		t.Fatal(err)
	}
	c, err := e.client.NewContainer(e.ctx, "labels", clientopts.WithNewSnapshot(one, snapshots.WithLabels(map[string]string{"mine": "yes", "containerd.io/snapshot/mine": "too"})))
	if err != nil {
		t.Fatal(err)
	}
	k := &plainCtr{e, c}
	info, err := k.Info(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.Snapshotter != e.snapshotter {
		t.Errorf("the container is on %s", info.Snapshotter)
	}
	snapshot := k.snapshot(t)
	image := snapshot.Labels["docker.com/revision.image"]
	if _, ok := snapshot.Labels["docker.com/revision.previous"]; ok || image != one.Target().Digest.String() || snapshot.Labels["mine"] != "yes" {
		t.Errorf("the labels are %v", snapshot.Labels)
	}
	k.upgrade(t, two) // without a spec
	if labels := k.snapshot(t).Labels; labels["containerd.io/snapshot/mine"] != "too" || labels["mine"] != "" {
		t.Errorf("after an upgrade the labels are %v", labels)
	}
	if err := k.Delete(k.ctx, clientopts.WithRevisionCleanup); err != nil {
		t.Fatal(err)
	}
	e.nothingOf(t, "labels")
}

// mappedIDs moves a container in a user namespace whose files nobody has mapped.
func mappedIDs(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "mapped", one)
	spec, err := k.Spec(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`[{"containerID": 0, "hostID": 100000, "size": 65536}]`), &spec.Linux.UIDMappings); err != nil {
		t.Fatal(err)
	}
	if err := k.Update(k.ctx, containerd.UpdateContainerOpts(containerd.WithSpec(spec))); err != nil {
		t.Fatal(err)
	}
	k.upgrade(t, two)
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same"})
	k.do(t, func(root string) {
		if err := os.Lchown(root, 100000, 100000); err != nil {
			t.Fatal(err)
		}
	})
	if err := k.Update(k.ctx, clientopts.WithRollback()); !errdefs.IsNotImplemented(err) {
		t.Errorf("a rollback of files that were mapped where they are gave %v", err)
	}
	k.must(t, files{"etc/both": "image", "etc/new": "two", "etc/same": "same"})
}

func deletedContainer(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	if err := two.Unpack(e.ctx, e.snapshotter); err != nil {
		t.Fatal(err)
	}
	e.collect(t)
	for name, opts := range map[string][]containerd.DeleteOpts{
		"revisions": {clientopts.WithRevisionCleanup}, "snapshot": {containerd.WithSnapshotCleanup}, "nothing": nil,
	} {
		before := e.left(t)
		k := e.create(t, "deleted."+name, one)
		k.upgrade(t, two)
		k.rollback(t)
		k.upgrade(t, two)
		if err := k.Delete(k.ctx, opts...); err != nil {
			t.Fatal(err)
		}
		if name == "revisions" {
			e.nothingOf(t, k.ID())
		}
		e.collect(t)
		if after := e.left(t); !slices.Equal(before, after) {
			t.Errorf("with clean-up of %s there was %v, and then %v", name, before, after)
		}
	}
}

// failedBirth makes a container twice.
func failedBirth(t *testing.T, e *plainEnv) {
	one, two, _ := e.plainImages(t)
	k := e.create(t, "birth", one)
	_, err := e.client.NewContainer(e.ctx, "birth", containerd.WithSnapshotter(e.snapshotter), clientopts.WithNewSnapshot(two))
	if !errdefs.IsAlreadyExists(err) {
		t.Errorf("a second container of the same id gave %v", err)
	}
	k.must(t, files{"etc/both": "old", "etc/gone": "old", "etc/same": "same"})
	k.upgrade(t, two)
	if got := slices.DeleteFunc(e.snapshots(t), func(name string) bool { return !strings.HasPrefix(name, "birth") }); len(got) != 2 {
		t.Errorf("there are %v", got)
	}
}
