package userns_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestUserNamespaces creates, changes and commits containers whose ids are
// mapped (dockerd --userns-remap), in each way to map them.
func TestUserNamespaces(t *testing.T) {
	native := harness.UsernsConfig("", nil)
	native.StorageDriver = "native"
	own := harness.UsernsConfig("", nil)
	own.StorageDriver = "baleen"
	for name, c := range map[string]struct {
		config stack.Config
		labels string // of the container's snapshot
	}{
		"mounted":         {harness.UsernsConfig("", nil), "0:100000:65536"},
		"own snapshotter": {own, "0:100000:65536"},
		"copied":          {harness.UsernsConfig("copy", nil), ""},
		"without layers":  {native, ""},
		"with an index":   {indexed(harness.UsernsConfig("", nil)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := harness.Start(t, c.config, "busybox")
			t.Run("files", func(t *testing.T) { usernsFiles(t, e, c.labels) })
			t.Run("build", func(t *testing.T) { usernsBuild(t, e) })
			t.Run("copies", func(t *testing.T) { usernsCopies(t, e) })
			t.Run("restart", func(t *testing.T) { usernsRestart(t, e) })
			t.Run("scratch", func(t *testing.T) { harness.CommitOnScratch(t, e) })
		})
	}
}

// indexed has containerd mount overlays of which the upper does not tell all.
func indexed(c stack.Config) stack.Config {
	c.ContainerdConfig = "[plugins.'io.containerd.snapshotter.v1.overlayfs']\nmount_options = ['index=on']\n"
	return c
}

const usernsLook = `stat -c '%n %a %u:%g %h' /setuid /one /two /bin/sh /new 2>/dev/null; test /one -ef /two && echo linked`

func usernsFiles(t *testing.T, e *harness.Env, mapping string) {
	// The image has what changing owners loses: setuid, and a file of two names.
	out, err := e.Build(t, `FROM busybox
RUN cp /bin/busybox /setuid && chmod 4755 /setuid && echo l > /one && ln /one /two && chown 5:6 /one && echo g > /gone
`, "-t", "base")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const base = "/setuid 4755 0:0 1\n/one 644 5:6 2\n/two 644 5:6 2\n"

	id := e.Run(t, "base", "echo new > /new; chown 7:8 /new; rm /etc/group /gone")
	if got := e.ActiveSnapshot(t, id).Labels["containerd.io/snapshot/uidmapping"]; got != mapping {
		t.Errorf("the snapshot asks for the mapping %q", got)
	}
	got := e.Must(t, "exec", id, "sh", "-c", usernsLook)
	if !strings.HasPrefix(got, base) || !strings.Contains(got, "/new 644 7:8 1") || !strings.HasSuffix(got, "linked") {
		t.Errorf("in the container\n%s", got)
	}
	if changes := e.Must(t, "diff", id); changes != "C /etc\nD /etc/group\nD /gone\nA /new" {
		t.Errorf("docker diff prints\n%s", changes)
	}
	image := e.Must(t, "commit", id)
	look := usernsLook + "; ls /etc/group /gone 2>&1 || true"
	const gone = "\nls: /etc/group: No such file or directory\nls: /gone: No such file or directory"
	if after := e.Must(t, "run", "--rm", image, "sh", "-c", look); after != got+gone {
		t.Errorf("in the image\n%s\nin the container\n%s", after, got)
	}
	again := e.Must(t, "commit", e.Run(t, image, "echo again > /new; chmod 700 /setuid"))
	if after := e.Must(t, "run", "--rm", again, "sh", "-c", look); !strings.HasSuffix(after, gone) || !strings.Contains(after, "/setuid 700 0:0 1") {
		t.Errorf("in an image of the image\n%s", after)
	}
	for image, want := range map[string]string{image: "3", again: "4", e.Must(t, "commit", e.Must(t, "create", "base")): "2"} {
		if n := e.Inspect(t, image, "{{len .RootFS.Layers}}"); n != want {
			t.Errorf("the image has %s layers, want %s", n, want)
		}
	}
	ownersIn(t, e, image, map[string]string{"new": "7:8", "etc": "0:0"})
}

// ownersIn checks the owners that an image's last layer has, as others get it.
func ownersIn(t *testing.T, e *harness.Env, image string, want map[string]string) {
	t.Helper()
	img := e.Image(t, image)
	got := map[string]string{}
	for r := layerTar(t, e, img.Manifest.Layers[len(img.Manifest.Layers)-1]); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := path.Clean(h.Name); want[name] != "" {
			got[name] = fmt.Sprint(h.Uid, ":", h.Gid)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("in the layer the owners are %v, want %v", got, want)
	}
}

func usernsBuild(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, `FROM busybox
COPY file /plain
COPY --chown=5:6 file /dir/owned
RUN echo x >> /plain && chown 7:8 /dir
RUN stat -c '%n %u:%g' /plain /dir /dir/owned
LABEL a=b
`, "-t", "copied")
	if want := "/plain 0:0\n/dir 7:8\n/dir/owned 5:6\n"; err != nil || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
	id := strings.TrimSpace(e.Must(t, "images", "-q", "--no-trunc", "copied"))
	if n := e.Inspect(t, id, "{{len .RootFS.Layers}}"); n != "4" {
		t.Errorf("the image has %s layers", n)
	}
	ownersIn(t, e, id, map[string]string{"plain": "0:0", "dir": "7:8"})
}

// usernsCopies has files copied by the daemon: docker cp, export, and into
// volumes.
func usernsCopies(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, "FROM busybox\nRUN mkdir /vol && echo v > /vol/v && chown -R 5:6 /vol\nVOLUME /vol\n", "-t", "volume")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := e.Run(t, "volume", "echo mine > /mine; chown 9:9 /mine; echo w > /vol/w")
	if got := e.Must(t, "exec", id, "stat", "-c", "%n %u:%g", "/vol", "/vol/v"); got != "/vol 5:6\n/vol/v 5:6" {
		t.Errorf("the volume has\n%s", got)
	}
	cmd := e.Docker(t.Context(), "cp", "-a", "-", id+":/")
	cmd.Stdin = bytes.NewReader(harness.TarOf(t, "copied", "in\n"))
	if out, err := harness.Output(cmd); err != nil {
		t.Fatalf("docker cp: %v\n%s", err, out)
	}
	if got := e.Must(t, "exec", id, "stat", "-c", "%n %u:%g", "/copied"); got != "/copied 0:0" {
		t.Errorf("what was copied in is\n%s", got)
	}
	// A container without the namespace writes as the host's root.
	host := e.Run(t, "busybox", "echo mine > /mine; rm /etc/group", "--userns=host")
	if got := e.Must(t, "run", "--rm", e.Must(t, "commit", host), "stat", "-c", "%n %u:%g", "/mine", "/etc"); got != "/mine 0:0\n/etc 0:0" {
		t.Errorf("in the image of a container without the namespace\n%s", got)
	}
	owners := map[string]string{}
	for r := tar.NewReader(strings.NewReader(e.Must(t, "export", id))); ; {
		h, err := r.Next()
		if err != nil {
			break // the command's last line has lost its end
		}
		owners[path.Clean(h.Name)] = fmt.Sprint(h.Uid, ":", h.Gid)
	}
	if owners["mine"] != "9:9" || owners["bin"] != "0:0" || owners["etc/mtab"] != "0:0" {
		t.Errorf("docker export gives the owners %v", owners)
	}
	// Moby's, which maps no ids on this way.
	if out, err := e.Try(t, "cp", id+":/mine", "-"); err != nil || !strings.Contains(out, "mine\n") {
		t.Errorf("docker cp: %v\n%s", err, out)
	}
	if got := e.Must(t, "diff", id); !strings.Contains(got, "A /copied") || !strings.Contains(got, "A /mine") {
		t.Errorf("docker diff prints\n%s", got)
	}
	if got := e.Must(t, "run", "--rm", "--mount", "type=image,source=volume,destination=/mnt", "busybox", "stat", "-c", "%u:%g", "/mnt/vol/v"); !strings.HasSuffix("\n"+got, "\n5:6") {
		t.Errorf("an image mount shows the owner %s", got)
	}
}

// usernsRestart has containers go on after they, and the daemon, were stopped.
func usernsRestart(t *testing.T, e *harness.Env) {
	const look = "stat -c '%n %u:%g' /mine /bin/sh"
	const want = "/mine 9:9\n/bin/sh 0:0"
	runs := e.Run(t, "busybox", "echo mine > /mine; chown 9:9 /mine")
	stopped := e.Run(t, "busybox", "echo mine > /mine; chown 9:9 /mine")
	e.Must(t, "restart", "-t", "1", stopped)
	e.Must(t, "stop", "-t", "1", stopped)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "start", stopped)
	for _, id := range []string{runs, stopped} {
		if got := e.Must(t, "exec", id, "sh", "-c", look); got != want {
			t.Errorf("after a restart of the daemon\n%s", got)
		}
		if lines := strings.Split(e.Must(t, "diff", id), "\n"); !slices.Contains(lines, "A /mine") || len(lines) > 3 {
			t.Errorf("docker diff prints\n%s", lines)
		}
		if got := e.Must(t, "run", "--rm", e.Must(t, "commit", id), "sh", "-c", look); got != want {
			t.Errorf("in the image\n%s", got)
		}
	}
}

// layerTar reads a layer.
func layerTar(t *testing.T, e *harness.Env, layer ocispec.Descriptor) *tar.Reader {
	t.Helper()
	blob, err := content.ReadBlob(e.Context(t), e.Client.ContentStore(), layer)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := compression.DecompressStream(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return tar.NewReader(stream)
}
