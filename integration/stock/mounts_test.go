package stock_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestMountPointsAsInStock compares what `docker diff` and `docker commit` tell of the files
// that the runtime makes to mount on. Those of new containers are stock's. A container that
// was upgraded shows what a new one of the new image does, and nothing of the old image's
// mount points: what the runtime made is not the container's.
// Empty files in images where mounts were: moby/moby#30466.
func TestMountPointsAsInStock(t *testing.T) {
	e := harness.Start(t, stack.Config{Flavor: stack.Stock}, "busybox")
	const server = `CMD ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]` + "\n"
	for name, rest := range map[string]string{
		"mounts:1": "RUN mkdir -p /lib /opt/app\n",
		"mounts:2": "RUN mkdir -p /usr/lib /usr/sbin /data && rm -r /sbin && ln -s usr/lib /lib && ln -s usr/sbin /sbin\n",
	} {
		if out, err := e.Build(t, "FROM busybox\n"+rest+server, "-t", name); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	dir := t.TempDir()
	harness.WriteFile(t, dir+"/file", "of the host\n")
	cases := map[string][]string{
		"read-only directory, init": {"-v", dir + ":/lib/modules:ro", "--init"},
		"files":                     {"-v", dir + "/file:/opt/app/conf", "-v", dir + "/file:/etc/app.conf", "-v", dir + "/file:/srv/deep/er/file"},
		"volumes in each other":     {"-v", "/data", "-v", "/a/b", "--tmpfs", "/a/b/c", "--mount", "type=tmpfs,destination=/scratch"},
		"mounts on what is there":   {"-v", dir + ":/var/www", "-v", dir + "/file:/etc/nsswitch.conf"},
		"read-only root":            {"--read-only", "--init", "-v", dir + ":/mnt/at"},
	}
	// shown are the changes of a container, and the names in the layer of its commit.
	shown := func(t *testing.T, id string) [2]string {
		changes := strings.Split(e.Must(t, "diff", id), "\n")
		slices.Sort(changes) // stock has no order
		return [2]string{strings.Join(changes, "\n"), topNames(t, e, e.Must(t, "commit", id))}
	}
	start := func(t *testing.T, image string, options []string) string {
		id := e.Must(t, append(append([]string{"run", "-d"}, options...), image)...)
		t.Cleanup(func() { e.Remove(t, id) })
		return id
	}
	stock := map[string][2]string{}
	for name, options := range cases {
		for _, image := range []string{"mounts:1", "mounts:2"} {
			id := start(t, image, options)
			stock[name+image] = shown(t, id)
			e.Must(t, "rm", "-f", "-v", id)
		}
	}
	e.SwitchTo(t, stack.Fork)
	for name, options := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := start(t, "mounts:1", options)
			check := func(when, image string) {
				t.Helper()
				got, want := shown(t, id), stock[name+image]
				for i, what := range []string{"docker diff", "the layer of docker commit"} {
					if got[i] != want[i] {
						t.Errorf("%s %s shows\n%s\nand with stock\n%s", when, what, got[i], want[i])
					}
				}
			}
			check("of a new container", "mounts:1")
			e.Must(t, "baleen", "upgrade", "--health-timeout", "0.1s", id, "mounts:2")
			check("after an upgrade", "mounts:2")
			e.Must(t, "baleen", "rollback", id, "1")
			check("after a rollback", "mounts:1")
		})
	}
}

// topNames are the names in the topmost layer of an image, in their order without
// the slash of directories.
func topNames(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	layers := e.Image(t, id).Manifest.Layers
	text, err := content.ReadBlob(e.Context(t), e.Client.ContentStore(), layers[len(layers)-1])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := compression.DecompressStream(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var names []string
	for in := tar.NewReader(plain); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.Trim(header.Name, "/"))
	}
	slices.Sort(names)
	return strings.Join(names, "\n")
}
