package integration_test

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

	"github.com/baleen-project/baleen/integration/stack"
)

// TestCommit goes through what traps.md says of commit, with the docker CLI,
// on one stack. Each case leaves behind only the images that it commits.
func TestCommit(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	for _, tc := range []struct {
		name string
		test func(*testing.T, *env)
	}{
		{"the image is what the container sees", commitContent},
		{"the snapshot stands on the image and holds no runtime file", commitSnapshot},
		{"a running container is paused meanwhile, and thawed", commitPauses},
		{"a paused container stays paused", commitPaused},
		{"nothing is paused if the user does not want it", commitUnpaused},
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
			before := e.state(t)
			tc.test(t, e)
			after := e.state(t)
			after.snapshots, before.snapshots = nil, nil // of images and containers
			after.images, before.images = nil, nil
			after.leases, before.leases = operations(after.leases), operations(before.leases)
			after.mounts, before.mounts = nil, nil // of running containers
			if tc.name == "a paused container stays paused" {
				after.paused = nil
			}
			if err := before.compare(after); err != nil {
				t.Error(err)
			}
		})
	}
}

// operations leaves out the leases of containers, which have no label.
func operations(leases []string) []string {
	return slices.DeleteFunc(slices.Clone(leases), func(l string) bool { return strings.HasSuffix(l, " map[]") })
}

const changeAll = `
	echo new > /new
	mkdir -p /dir/sub && echo deep > /dir/sub/file
	rm /etc/group
	chmod 700 /tmp
	chown 12:34 /home
	ln -s /new /link
	mkfifo /fifo`

func commitContent(t *testing.T, e *env) {
	id := e.run(t, "busybox", changeAll)
	e.docker(t, "commit", id, "content:test")
	got := e.docker(t, "run", "--rm", "content:test", "sh", "-c", `
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

func commitSnapshot(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /etc/x")
	img := e.image(t, e.docker(t, "commit", id))
	ctx, sn := e.ctx(t), e.client.SnapshotService(snapshotter)

	diffIDs := img.config.RootFS.DiffIDs
	chain, base := identity.ChainID(diffIDs), identity.ChainID(diffIDs[:len(diffIDs)-1])
	info, err := sn.Stat(ctx, chain.String())
	if err != nil {
		t.Fatal(err)
	}
	if info.Parent != base.String() {
		t.Errorf("the snapshot's parent is %s, want the image's chain %s", info.Parent, base)
	}

	mounts, err := sn.View(ctx, "look", chain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer removeView(t, e, "look")
	top := topLayer(t, mounts)
	for _, name := range []string{".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "dev", "proc", "sys"} {
		if matches, _ := filepath.Glob(filepath.Join(top, name)); len(matches) > 0 {
			t.Errorf("the snapshot holds the runtime's /%s", name)
		}
	}
	if matches, _ := filepath.Glob(filepath.Join(top, "etc/x")); len(matches) != 1 {
		t.Error("the snapshot does not hold the container's /etc/x")
	}
}

// topLayer is the folder of a view's topmost snapshot.
func topLayer(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	for _, o := range mounts[0].Options {
		if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
			return strings.Split(dirs, ":")[0]
		}
	}
	t.Fatalf("no lowerdir in %v", mounts)
	return ""
}

func commitPauses(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /x")
	if got := events(t, e, id, func() { e.docker(t, "commit", id) }); !slices.Equal(got, []string{"pause", "unpause", "commit"}) &&
		!slices.Equal(got, []string{"pause", "commit", "unpause"}) {
		t.Errorf("events were %v", got)
	}
	if got := e.inspect(t, id, "{{.State.Status}}"); got != "running" {
		t.Errorf("the container is %s", got)
	}
}

func commitPaused(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /x")
	e.docker(t, "pause", id)
	e.docker(t, "commit", id)
	if got := e.inspect(t, id, "{{.State.Status}}"); got != "paused" {
		t.Errorf("the container is %s", got)
	}
}

func commitUnpaused(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /x")
	if got := events(t, e, id, func() { e.docker(t, "commit", noPause(t), id) }); !slices.Equal(got, []string{"commit"}) {
		t.Errorf("events were %v", got)
	}
}

// events returns the actions of a container's events while f runs.
func events(t *testing.T, e *env, id string, f func()) []string {
	t.Helper()
	since := e.docker(t, "info", "-f", "{{.SystemTime}}")
	f()
	until := e.docker(t, "info", "-f", "{{.SystemTime}}")
	out := e.docker(t, "events", "--since", since, "--until", until, "-f", "container="+id, "--format", "{{.Action}}")
	return strings.Fields(out)
}

func commitEmpty(t *testing.T, e *env) {
	base := e.image(t, e.inspect(t, "busybox", "{{.Id}}"))
	for name, id := range map[string]string{
		"created": e.docker(t, "create", "busybox"),
		"running": e.run(t, "busybox", "cat /etc/passwd > /dev/null"),
	} {
		img := e.image(t, e.docker(t, "commit", "-m", "nothing", id))
		if !slices.Equal(img.config.RootFS.DiffIDs, base.config.RootFS.DiffIDs) || len(img.manifest.Layers) != len(base.manifest.Layers) {
			t.Errorf("%s: the image has layers %v, its base %v", name, img.config.RootFS.DiffIDs, base.config.RootFS.DiffIDs)
		}
		last := img.config.History[len(img.config.History)-1]
		if !last.EmptyLayer || last.Comment != "nothing" || len(img.config.History) != len(base.config.History)+1 {
			t.Errorf("%s: the history is %+v", name, img.config.History)
		}
		e.remove(t, id)
	}
}

func commitConfig(t *testing.T, e *env) {
	id := e.docker(t, "create", "--label", "team=whales", "-e", "A=1", "-w", "/w", "-p", "80/tcp", "-v", "/vol", "-u", "7",
		"--stop-signal", "SIGINT", "--health-cmd", "true", "--entrypoint", "/bin/sh", "busybox", "-c", "echo  hi")
	defer e.remove(t, id)
	first := e.image(t, e.docker(t, "commit", "-a", "Ishmael", "-m", "call me", id))
	c := first.config.Config
	if c.Labels["team"] != "whales" || !slices.Contains(c.Env, "A=1") || c.WorkingDir != "/w" || c.User != "7" || c.StopSignal != "SIGINT" ||
		len(c.ExposedPorts) != 1 || len(c.Volumes) != 1 || c.Healthcheck == nil || !slices.Equal(c.Entrypoint, []string{"/bin/sh"}) {
		t.Errorf("the image's config is %+v", c)
	}
	h := first.config.History[len(first.config.History)-1]
	if h.CreatedBy != "-c echo  hi" || h.Author != "Ishmael" || h.Comment != "call me" || first.config.Author != "Ishmael" {
		t.Errorf("the last history entry is %+v", h)
	}

	// Without an author the base's stays.
	child := e.docker(t, "create", first.target.Digest.String())
	defer e.remove(t, child)
	second := e.image(t, e.docker(t, "commit", child))
	if second.config.Author != "Ishmael" {
		t.Errorf("the author became %q", second.config.Author)
	}
}

func commitChange(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /x", "--label", "a=1", "-e", "E=1")
	before := e.inspect(t, id, "{{json .Config}}")
	img := e.image(t, e.docker(t, "commit", "-c", "ENV E=2", "-c", "LABEL a=2 b=3", "-c", "CMD [\"other\"]", "-c", "EXPOSE 99", id))
	if after := e.inspect(t, id, "{{json .Config}}"); after != before {
		t.Errorf("the container's config became\n%s\nit was\n%s", after, before)
	}
	c := img.config.Config
	if !slices.Contains(c.Env, "E=2") || c.Labels["a"] != "2" || c.Labels["b"] != "3" || !slices.Equal(c.Cmd, []string{"other"}) {
		t.Errorf("the image's config is %+v", c)
	}
	if out, err := e.try(t, "commit", "-c", "RUN rm -rf /", id); err == nil || !strings.Contains(out, "RUN is not a valid change command") {
		t.Errorf("a change that is none gave %q, %v", out, err)
	}
}

func commitLabels(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo labels > /x")
	img := e.image(t, e.docker(t, "commit", id))
	ctx, cs := e.ctx(t), e.client.ContentStore()

	refs := func(dgst digest.Digest) map[string]string {
		info, err := cs.Info(ctx, dgst)
		if err != nil {
			t.Fatal(err)
		}
		return info.Labels
	}
	parts := []string{img.manifest.Config.Digest.String()}
	for _, l := range img.manifest.Layers {
		parts = append(parts, l.Digest.String())
	}
	for i, part := range parts {
		if got := refs(img.target.Digest)[fmt.Sprint("containerd.io/gc.ref.content.", i)]; got != part {
			t.Errorf("the manifest's reference %d is %q, want %s", i, got, part)
		}
	}
	config := refs(img.manifest.Config.Digest)
	if got, want := config["containerd.io/gc.ref.snapshot."+snapshotter], identity.ChainID(img.config.RootFS.DiffIDs).String(); got != want {
		t.Errorf("the config refers to snapshot %q, want %s", got, want)
	}
	madeBy := config["containerd.io/gc.ref.content.moby/container.config"]
	if madeBy == "" || madeBy != img.labels["org.mobyproject.image.containerconfig"] {
		t.Errorf("the container's config is %q on the config, %q on the image", madeBy, img.labels["org.mobyproject.image.containerconfig"])
	}
	if got, want := img.labels["org.mobyproject.image.parent"], e.inspect(t, "busybox", "{{.Id}}"); got != want {
		t.Errorf("the parent is %q, want %s", got, want)
	}
	layer := img.manifest.Layers[len(img.manifest.Layers)-1]
	diffID := img.config.RootFS.DiffIDs[len(img.config.RootFS.DiffIDs)-1]
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

func commitDangling(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo 1 > /x")
	first := e.docker(t, "commit", id)
	if got, want := e.image(t, first).record, "moby-dangling@"+first; got != want {
		t.Errorf("the record is named %s, want %s", got, want)
	}
	e.docker(t, "tag", first, "tagged:test")
	e.docker(t, "exec", id, "sh", "-c", "echo 2 > /x")
	second := e.docker(t, "commit", id, "tagged:test")
	if got := e.image(t, second).record; got != "docker.io/library/tagged:test" {
		t.Errorf("the tagged image's record is named %s", got)
	}
	if got, want := e.image(t, first).record, "moby-dangling@"+first; got != want {
		t.Errorf("the image that lost its tag is named %s, want %s", got, want)
	}
	if out := e.docker(t, "images", "-q", "--no-trunc", "-f", "dangling=true"); !strings.Contains(out, first) {
		t.Errorf("dangling images are %s, and not %s", out, first)
	}
}

func commitBase(t *testing.T, e *env) {
	base := e.inspect(t, "busybox", "{{.Id}}")
	before := e.image(t, base)
	id := e.run(t, "busybox", "echo x > /x")
	first := e.image(t, e.docker(t, "commit", id))
	child := e.run(t, first.target.Digest.String(), "echo y > /y")
	second := e.image(t, e.docker(t, "commit", child))

	if after := e.image(t, base); !reflect.DeepEqual(after, before) {
		t.Errorf("the base became %+v", after)
	}
	want := append(slices.Clone(before.config.RootFS.DiffIDs), first.config.RootFS.DiffIDs[len(before.config.RootFS.DiffIDs):]...)
	if got := second.config.RootFS.DiffIDs; len(got) != len(want)+1 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("the grandchild's layers are %v, its parent's %v", got, want)
	}
}

func commitAtOnce(t *testing.T, e *env) {
	one := e.run(t, "busybox", "echo same > /same; touch -d @1000000000 /same")
	other := e.run(t, "busybox", "echo same > /same; touch -d @1000000000 /same")
	var (
		wg  sync.WaitGroup
		ids [8]string
		err [8]error
	)
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ids[i], err[i] = output(e.Docker(t.Context(), "commit", []string{one, other}[i%2]))
		}()
	}
	wg.Wait()
	for i, id := range ids {
		if err[i] != nil {
			t.Errorf("commit %d: %v: %s", i, err[i], id)
			continue
		}
		if got := e.docker(t, "run", "--rm", id, "cat", "/same"); got != "same" {
			t.Errorf("image %d holds %q", i, got)
		}
	}
}

func commitTwice(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo 1 > /x")
	var ids []string
	for i := range 3 {
		e.docker(t, "exec", id, "sh", "-c", fmt.Sprintf("echo %d > /x", i))
		ids = append(ids, e.docker(t, "commit", id))
	}
	for i, image := range ids {
		if got := e.docker(t, "run", "--rm", image, "cat", "/x"); got != fmt.Sprint(i) {
			t.Errorf("commit %d holds %q", i, got)
		}
	}
}

func commitMissing(t *testing.T, e *env) {
	if out, err := e.try(t, "commit", "nosuch"); err == nil || !strings.Contains(out, "No such container: nosuch") {
		t.Errorf("got %q, %v", out, err)
	}
}

func commitReserved(t *testing.T, e *env) {
	id := e.run(t, "busybox", "echo x > /.wh.etc")
	status, body := e.post(t, "/commit?container="+id)
	if status != http.StatusConflict || !strings.Contains(body, ".wh.etc") || !strings.Contains(body, "rename or remove it") {
		t.Errorf("status %d: %s", status, body)
	}
}

func removeView(t *testing.T, e *env, key string) {
	t.Helper()
	if err := e.client.SnapshotService(snapshotter).Remove(e.ctx(t), key); err != nil {
		t.Error(err)
	}
}
