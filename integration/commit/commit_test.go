package commit_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommit goes through what traps.md says of commit, with the docker CLI,
// on one stack. Each case leaves behind only the images that it commits.
func TestCommit(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	for _, tc := range []struct {
		name string
		test func(*testing.T, *harness.Env)
	}{
		{"the image is what the container sees", commitContent},
		{"the snapshot stands on the image and holds no runtime file", commitSnapshot},
		{"a running container is paused meanwhile, and thawed", commitPauses},
		{"a paused container stays paused", commitPaused},
		{"nothing is paused if the user does not want it", harness.CommitUnpaused},
		{"no change, no layer", commitEmpty},
		{"the config is the container's and the history is told", commitConfig},
		{"--change does not alter the container", commitChange},
		{"GC labels hold every part", commitLabels},
		{"untagged images dangle, and so do those that lose their tag", commitDangling},
		{"the base is not altered", commitBase},
		{"many at once, of one container and of siblings", commitAtOnce},
		{"a later commit sees later writes", commitTwice},
		{"a missing container is not found", commitMissing},
		{"a name that a layer cannot hold is a conflict", commitReserved},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := e.State(t)
			tc.test(t, e)
			after := e.State(t)
			after.Snapshots, before.Snapshots = nil, nil // of images and containers
			after.Images, before.Images = nil, nil
			after.Leases, before.Leases = harness.OperationLeases(after.Leases), harness.OperationLeases(before.Leases)
			after.Mounts, before.Mounts = nil, nil // of running containers
			if tc.name == "a paused container stays paused" {
				after.Paused = nil
			}
			if err := before.Compare(after); err != nil {
				t.Error(err)
			}
		})
	}
}

const changeAll = `
	echo new > /new
	mkdir -p /dir/sub && echo deep > /dir/sub/file
	rm /etc/group
	chmod 700 /tmp
	chown 12:34 /home
	ln -s /new /link
	mkfifo /fifo`

func commitContent(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", changeAll)
	e.Must(t, "commit", id, "content:test")
	got := e.Must(t, "run", "--rm", "content:test", "sh", "-c", `
		cat /new /dir/sub/file
		test -e /etc/group || echo no group
		stat -c '%a %u:%g %n' /tmp /home
		readlink /link
		test -p /fifo && echo fifo`)
	want := "new\ndeep\nno group\n700 0:0 /tmp\n755 12:34 /home\n/new\nfifo"
	if got != want {
		t.Errorf("the image's content is\n%s\nwant\n%s", got, want)
	}
}

func commitSnapshot(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo x > /etc/x")
	img := e.Image(t, e.Must(t, "commit", id))
	ctx, sn := e.Context(t), e.Client.SnapshotService(harness.Snapshotter)

	diffIDs := img.Config.RootFS.DiffIDs
	chain, base := identity.ChainID(diffIDs), identity.ChainID(diffIDs[:len(diffIDs)-1])
	info, err := sn.Stat(ctx, chain.String())
	if err != nil {
		t.Fatal(err)
	}
	if info.Parent != base.String() {
		t.Errorf("the snapshot's parent is %s, want the image's chain %s", info.Parent, base)
	}

	e.WithView(t, chain.String(), func(mounts []mount.Mount) {
		top := harness.TopLayer(t, mounts)
		for _, name := range []string{".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev", "proc", "sys"} {
			if matches, _ := filepath.Glob(filepath.Join(top, name)); len(matches) > 0 {
				t.Errorf("the snapshot holds the runtime's /%s", name)
			}
		}
		if matches, _ := filepath.Glob(filepath.Join(top, "etc/x")); len(matches) != 1 {
			t.Error("the snapshot does not hold the container's /etc/x")
		}
	})
}

func commitPauses(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo x > /x")
	if got := harness.Events(t, e, id, func() { e.Must(t, "commit", id) }); !slices.Equal(got, []string{"pause", "unpause", "commit"}) &&
		!slices.Equal(got, []string{"pause", "commit", "unpause"}) {
		t.Errorf("events were %v", got)
	}
	if got := e.Inspect(t, id, "{{.State.Status}}"); got != "running" {
		t.Errorf("the container is %s", got)
	}
}

func commitPaused(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo x > /x")
	e.Must(t, "pause", id)
	e.Must(t, "commit", id)
	if got := e.Inspect(t, id, "{{.State.Status}}"); got != "paused" {
		t.Errorf("the container is %s", got)
	}
}

func commitEmpty(t *testing.T, e *harness.Env) {
	base := e.Image(t, e.Inspect(t, "busybox", "{{.Id}}"))
	for name, id := range map[string]string{
		"created": e.Must(t, "create", "busybox"),
		"running": e.Run(t, "busybox", "cat /etc/passwd > /dev/null"),
	} {
		img := e.Image(t, e.Must(t, "commit", "-m", "nothing", id))
		if !slices.Equal(img.Config.RootFS.DiffIDs, base.Config.RootFS.DiffIDs) || len(img.Manifest.Layers) != len(base.Manifest.Layers) {
			t.Errorf("%s: the image has layers %v, its base %v", name, img.Config.RootFS.DiffIDs, base.Config.RootFS.DiffIDs)
		}
		last := img.Config.History[len(img.Config.History)-1]
		if !last.EmptyLayer || last.Comment != "nothing" || len(img.Config.History) != len(base.Config.History)+1 {
			t.Errorf("%s: the history is %+v", name, img.Config.History)
		}
		e.Remove(t, id)
	}
}

func commitConfig(t *testing.T, e *harness.Env) {
	id := e.Must(t, "create", "--label", "team=whales", "-e", "A=1", "-w", "/w", "-p", "80/tcp", "-v", "/vol", "-u", "7",
		"--stop-signal", "SIGINT", "--health-cmd", "true", "--entrypoint", "/bin/sh", "busybox", "-c", "echo  hi")
	defer e.Remove(t, id)
	first := e.Image(t, e.Must(t, "commit", "-a", "Ishmael", "-m", "call me", id))
	c := first.Config.Config
	if c.Labels["team"] != "whales" || !slices.Contains(c.Env, "A=1") || c.WorkingDir != "/w" || c.User != "7" || c.StopSignal != "SIGINT" ||
		len(c.ExposedPorts) != 1 || len(c.Volumes) != 1 || c.Healthcheck == nil || !slices.Equal(c.Entrypoint, []string{"/bin/sh"}) {
		t.Errorf("the image's config is %+v", c)
	}
	h := first.Config.History[len(first.Config.History)-1]
	if h.CreatedBy != "-c echo  hi" || h.Author != "Ishmael" || h.Comment != "call me" || first.Config.Author != "Ishmael" {
		t.Errorf("the last history entry is %+v", h)
	}

	// Without an author the base's stays.
	child := e.Must(t, "create", first.Target.Digest.String())
	defer e.Remove(t, child)
	second := e.Image(t, e.Must(t, "commit", child))
	if second.Config.Author != "Ishmael" {
		t.Errorf("the author became %q", second.Config.Author)
	}
}

func commitChange(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo x > /x", "--label", "a=1", "-e", "E=1")
	before := e.Inspect(t, id, "{{json .Config}}")
	img := e.Image(t, e.Must(t, "commit", "-c", "ENV E=2", "-c", "LABEL a=2 b=3", "-c", "CMD [\"other\"]", "-c", "EXPOSE 99", id))
	if after := e.Inspect(t, id, "{{json .Config}}"); after != before {
		t.Errorf("the container's config became\n%s\nit was\n%s", after, before)
	}
	c := img.Config.Config
	if !slices.Contains(c.Env, "E=2") || c.Labels["a"] != "2" || c.Labels["b"] != "3" || !slices.Equal(c.Cmd, []string{"other"}) {
		t.Errorf("the image's config is %+v", c)
	}
	if out, err := e.Try(t, "commit", "-c", "RUN rm -rf /", id); err == nil || !strings.Contains(out, "RUN is not a valid change command") {
		t.Errorf("a change that is none gave %q, %v", out, err)
	}
}

func commitLabels(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo labels > /x")
	img := e.Image(t, e.Must(t, "commit", id))
	ctx, cs := e.Context(t), e.Client.ContentStore()

	refs := func(dgst digest.Digest) map[string]string {
		info, err := cs.Info(ctx, dgst)
		if err != nil {
			t.Fatal(err)
		}
		return info.Labels
	}
	parts := []string{img.Manifest.Config.Digest.String()}
	for _, l := range img.Manifest.Layers {
		parts = append(parts, l.Digest.String())
	}
	for i, part := range parts {
		if got := refs(img.Target.Digest)[fmt.Sprint("containerd.io/gc.ref.content.", i)]; got != part {
			t.Errorf("the manifest's reference %d is %q, want %s", i, got, part)
		}
	}
	config := refs(img.Manifest.Config.Digest)
	if got, want := config["containerd.io/gc.ref.snapshot."+harness.Snapshotter], identity.ChainID(img.Config.RootFS.DiffIDs).String(); got != want {
		t.Errorf("the config refers to snapshot %q, want %s", got, want)
	}
	madeBy := config["containerd.io/gc.ref.content.moby/container.config"]
	if madeBy == "" || madeBy != img.Labels["org.mobyproject.image.containerconfig"] {
		t.Errorf("the container's config is %q on the config, %q on the image", madeBy, img.Labels["org.mobyproject.image.containerconfig"])
	}
	if got, want := img.Labels["org.mobyproject.image.parent"], e.Inspect(t, "busybox", "{{.Id}}"); got != want {
		t.Errorf("the parent is %q, want %s", got, want)
	}
	layer := img.Manifest.Layers[len(img.Manifest.Layers)-1]
	diffID := img.Config.RootFS.DiffIDs[len(img.Config.RootFS.DiffIDs)-1]
	labels := refs(layer.Digest)
	if labels["containerd.io/uncompressed"] != diffID.String() {
		t.Errorf("the layer's labels are %v, its diffID %s", labels, diffID)
	}
	for k := range labels {
		if strings.HasPrefix(k, "containerd.io/distribution.source") {
			t.Errorf("a layer that never was in a registry has label %s", k)
		}
	}
}

func commitDangling(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo 1 > /x")
	first := e.Must(t, "commit", id)
	if got, want := e.Image(t, first).Record, "moby-dangling@"+first; got != want {
		t.Errorf("the record is named %s, want %s", got, want)
	}
	e.Must(t, "tag", first, "tagged:test")
	e.Must(t, "exec", id, "sh", "-c", "echo 2 > /x")
	second := e.Must(t, "commit", id, "tagged:test")
	if got := e.Image(t, second).Record; got != "docker.io/library/tagged:test" {
		t.Errorf("the tagged image's record is named %s", got)
	}
	if got, want := e.Image(t, first).Record, "moby-dangling@"+first; got != want {
		t.Errorf("the image that lost its tag is named %s, want %s", got, want)
	}
	if out := e.Must(t, "images", "-q", "--no-trunc", "-f", "dangling=true"); !strings.Contains(out, first) {
		t.Errorf("dangling images are %s, and not %s", out, first)
	}
}

func commitBase(t *testing.T, e *harness.Env) {
	base := e.Inspect(t, "busybox", "{{.Id}}")
	before := e.Image(t, base)
	id := e.Run(t, "busybox", "echo x > /x")
	first := e.Image(t, e.Must(t, "commit", id))
	child := e.Run(t, first.Target.Digest.String(), "echo y > /y")
	second := e.Image(t, e.Must(t, "commit", child))

	if after := e.Image(t, base); !reflect.DeepEqual(after, before) {
		t.Errorf("the base became %+v", after)
	}
	want := append(slices.Clone(before.Config.RootFS.DiffIDs), first.Config.RootFS.DiffIDs[len(before.Config.RootFS.DiffIDs):]...)
	if got := second.Config.RootFS.DiffIDs; len(got) != len(want)+1 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("the grandchild's layers are %v, its parent's %v", got, want)
	}
}

func commitAtOnce(t *testing.T, e *harness.Env) {
	one := e.Run(t, "busybox", "echo same > /same; touch -d @1000000000 /same")
	other := e.Run(t, "busybox", "echo same > /same; touch -d @1000000000 /same")
	var (
		wg  sync.WaitGroup
		ids [8]string
		err [8]error
	)
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ids[i], err[i] = harness.Output(e.Docker(t.Context(), "commit", []string{one, other}[i%2]))
		}()
	}
	wg.Wait()
	for i, id := range ids {
		if err[i] != nil {
			t.Errorf("commit %d: %v: %s", i, err[i], id)
			continue
		}
		if got := e.Must(t, "run", "--rm", id, "cat", "/same"); got != "same" {
			t.Errorf("image %d holds %q", i, got)
		}
	}
}

func commitTwice(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo 1 > /x")
	var ids []string
	for i := range 3 {
		e.Must(t, "exec", id, "sh", "-c", fmt.Sprintf("echo %d > /x", i))
		ids = append(ids, e.Must(t, "commit", id))
	}
	for i, image := range ids {
		if got := e.Must(t, "run", "--rm", image, "cat", "/x"); got != fmt.Sprint(i) {
			t.Errorf("commit %d holds %q", i, got)
		}
	}
}

func commitMissing(t *testing.T, e *harness.Env) {
	if out, err := e.Try(t, "commit", "nosuch"); err == nil || !strings.Contains(out, "No such container: nosuch") {
		t.Errorf("got %q, %v", out, err)
	}
}

func commitReserved(t *testing.T, e *harness.Env) {
	id := e.Run(t, "busybox", "echo x > /.wh.etc")
	status, body := e.Post(t, "/commit?container="+id)
	if status != http.StatusConflict || !strings.Contains(body, ".wh.etc") || !strings.Contains(body, "rename or remove it") {
		t.Errorf("status %d: %s", status, body)
	}
}
