package build_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// exportedDockerfile has steps that undo what others did, and copies between stages.
const exportedDockerfile = `FROM busybox AS maker
RUN mkdir -p /made/deep /made/kept && echo a > /made/deep/a && ln /made/deep/a /made/twin && echo k > /made/kept/k && chmod 4755 /made/deep/a && chown -R 5:6 /made
FROM busybox
COPY --from=maker /made /made
COPY --chown=7:8 file /dir/owned
RUN rm /bin/vi && echo more >> /dir/owned && rm -r /made/deep && mkdir /made/deep && echo new > /made/deep/b && ln -s /nowhere /made/dangling
RUN rm -r /made/kept /made/dangling && mkfifo /made/pipe && chmod 700 /made && echo plain > /made/kept
RUN mkdir /empty && rm -r /made/deep && mv /dir /moved
`

// exporters are what BuildKit can write an image to.
var exporters = []string{"image", "oci", "docker", "tar", "local"}

// TestBuildKitExporters builds the same with BuildKit, with containerd's walking differ
// and with ours, on overlayfs and on our snapshotter. What each exporter writes has the
// same files. BuildKit compares overlays itself; the differ unpacks the base, and the
// image for those who run it.
func TestBuildKitExporters(t *testing.T) {
	harness.NeedBuildx(t)
	const walking = "walking"
	written := map[string]map[string]string{}
	for name, c := range map[string]stack.Config{
		walking:     {},
		"overlayfs": {Proxy: true, DifferForAll: true},
		"baleen":    {Proxy: true, DifferForAll: true, StorageDriver: "baleen"},
	} {
		c.Flavor, c.DaemonConfig = stack.Stock, map[string]any{"bridge": "none"}
		e := harness.Start(t, c, "busybox")
		written[name] = map[string]string{}
		for _, exporter := range exporters {
			written[name][exporter] = exported(t, e, exporter)
		}
		if log := e.LogTail(stack.Proxy, 1000); name != walking && strings.Count(log, "unpacked a layer") < 6 {
			t.Errorf("on %s the differ has not unpacked the base and five layers:\n%s", name, log)
		}
	}
	for name, trees := range written {
		for exporter, got := range trees {
			err := compare.Trees(t.Context(), written[walking][exporter], got, compare.Options{
				IgnoreRoot: true,
				// The builds were at different times.
				Accept: func(d compare.Difference) bool { return d.Aspect == compare.ModTime },
			})
			if err != nil {
				t.Errorf("%s, as exporter %s writes it: %v", name, exporter, err)
			}
			// An exporter that wrote nothing would be the same everywhere.
			if text, err := os.ReadFile(filepath.Join(got, "moved/owned")); err != nil || string(text) != "from the context\nmore\n" {
				t.Errorf("%s, as exporter %s writes it, has %q: %v", name, exporter, text, err)
			}
		}
	}
}

// exported builds with an exporter, and returns a folder with the image's files.
func exported(t *testing.T, e *harness.Env, exporter string) string {
	t.Helper()
	root, file := t.TempDir(), filepath.Join(t.TempDir(), "written")
	to := map[string]string{"image": "type=image,name=built", "local": "type=local,dest=" + root}[exporter]
	if to == "" {
		to = "type=" + exporter + ",dest=" + file
	}
	if out, err := e.BuildWithBuildKit(t, exportedDockerfile, "--network=none", "--provenance=false", "--output", to); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	switch exporter {
	case "local":
		return root
	case "image":
		e.Must(t, "save", "-o", file, "built")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	layers := [][]byte{text}
	if exporter != "tar" {
		layers = archivedLayers(t, file)
	}
	for _, layer := range layers {
		stream, err := compression.DecompressStream(bytes.NewReader(layer))
		if err != nil {
			t.Fatal(err)
		}
		_, err = archive.Apply(t.Context(), root, stream)
		if err := errors.Join(err, stream.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// archivedLayers reads the layers of the one image in an archive with an OCI layout.
func archivedLayers(t *testing.T, path string) (layers [][]byte) {
	t.Helper()
	files, err := harness.ReadArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	blob := func(desc ocispec.Descriptor) []byte {
		return files["blobs/"+desc.Digest.Algorithm().String()+"/"+desc.Digest.Encoded()]
	}
	var index ocispec.Index
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("the archive's index is %s: %v", files["index.json"], err)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(blob(index.Manifests[0]), &manifest); err != nil || len(manifest.Layers) < 5 {
		t.Fatalf("the archive's manifest is %s: %v", blob(index.Manifests[0]), err)
	}
	for _, layer := range manifest.Layers {
		layers = append(layers, blob(layer))
	}
	return layers
}
