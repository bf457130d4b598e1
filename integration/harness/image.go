package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is a committed image as containerd stores it.
type Image struct {
	Record   string
	Labels   map[string]string
	Target   ocispec.Descriptor
	Manifest ocispec.Manifest
	Config   imagespec.DockerOCIImage
}

// Image reads an image by its id, with all that hangs on it.
func (e *Env) Image(t *testing.T, id string) Image {
	t.Helper()
	ctx := e.Context(t)
	records, err := e.Client.ImageService().List(ctx, "target.digest=="+id)
	if err != nil || len(records) == 0 {
		t.Fatalf("no record of image %s: %v", id, err)
	}
	img := Image{Record: records[0].Name, Labels: records[0].Labels, Target: records[0].Target}
	e.ReadJSON(t, img.Target, &img.Manifest)
	e.ReadJSON(t, img.Manifest.Config, &img.Config)
	return img
}

// ReadJSON decodes a blob of containerd's content store.
func (e *Env) ReadJSON(t *testing.T, desc ocispec.Descriptor, into any) {
	t.Helper()
	text, err := content.ReadBlob(e.Context(t), e.Client.ContentStore(), desc)
	if err != nil {
		t.Fatalf("read %s: %v", desc.Digest, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("decode %s: %v", desc.Digest, err)
	}
}

// CommitOnScratch commits a container whose image has one layer and no programs.
func CommitOnScratch(t *testing.T, e *Env) {
	out, err := e.Build(t, "FROM scratch\nLABEL a=b\nCOPY file /file\n", "-t", "fromscratch")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := e.Must(t, "create", "fromscratch", "/x")
	defer e.Remove(t, id)
	e.CopyIn(t, id)
	img := e.Image(t, e.Must(t, "commit", id))
	if len(img.Manifest.Layers) != 2 || len(img.Config.History) != 3 {
		t.Errorf("the image is %+v, its history %+v", img.Manifest, img.Config.History)
	}
}

// CopyIn changes a container that cannot run.
func (e *Env) CopyIn(t *testing.T, id string) {
	t.Helper()
	cmd := e.Docker(t.Context(), "cp", "-", id+":/")
	cmd.Stdin = bytes.NewReader(TarOf(t, "copied", "in\n"))
	if out, err := Output(cmd); err != nil {
		t.Fatalf("docker cp: %v\n%s", err, out)
	}
}

// TarOf returns a tar file that holds one file.
func TarOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1e9, 0)}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// PutForeignImage stores an image of one layer and returns its manifest's descriptor.
func (e *Env) PutForeignImage(t *testing.T, manifestType, configType, layerType string, p ocispec.Platform) ocispec.Descriptor {
	t.Helper()
	stream := TarOf(t, "base", fmt.Sprint("for ", p))
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(stream); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	layer := e.PutBlob(t, layerType, b.Bytes(), map[string]string{"containerd.io/distribution.source.example.com": "team/app"})
	config := e.PutJSON(t, configType, ocispec.Image{
		Platform: p,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(stream)}},
		History:  []ocispec.History{{CreatedBy: "another tool"}},
	})
	return e.PutJSON(t, manifestType, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType, Config: config, Layers: []ocispec.Descriptor{layer},
	}, config, layer)
}

// PutJSON stores a value as JSON, holding children.
func (e *Env) PutJSON(t *testing.T, mediaType string, v any, children ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for i, c := range children {
		labels[fmt.Sprint("containerd.io/gc.ref.content.", i)] = c.Digest.String()
	}
	return e.PutBlob(t, mediaType, text, labels)
}

// PutBlob stores a blob.
func (e *Env) PutBlob(t *testing.T, mediaType string, text []byte, labels map[string]string) ocispec.Descriptor {
	t.Helper()
	// Until the image is tagged nothing holds the parts.
	labels["containerd.io/gc.root"] = "test"
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	err := content.WriteBlob(e.Context(t), e.Client.ContentStore(), desc.Digest.String(), bytes.NewReader(text), desc, content.WithLabels(labels))
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// Tag names an image that was put into the content store, and checks that Docker lists it.
func (e *Env) Tag(t *testing.T, name string, target ocispec.Descriptor) {
	t.Helper()
	_, err := e.Client.ImageService().Create(e.Context(t), images.Image{Name: "docker.io/library/" + name + ":latest", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	if out := e.Must(t, "images", "--format", "{{.Repository}}"); !slices.Contains(strings.Fields(out), name) {
		t.Fatalf("docker does not list the image %s: %s", name, out)
	}
}

// ReadArchive returns the files of a tar file by their names.
func ReadArchive(path string) (map[string][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	files := map[string][]byte{}
	for in := tar.NewReader(file); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(in); err != nil {
			return nil, err
		}
	}
}

// CollectGarbage has containerd collect its garbage.
func (e *Env) CollectGarbage(t *testing.T) {
	t.Helper()
	ls := e.Client.LeasesService()
	l, err := ls.Create(e.Context(t), leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	if err := ls.Delete(e.Context(t), l, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
}
