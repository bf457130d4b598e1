package fidelity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BaseImage is the name of the image that cases change.
const BaseImage = "fidelity:base"

// image is what an image consists of.
type image struct {
	manifest ocispec.Manifest
	config   ocispec.Image
}

func (l *Lab) readImage(ctx context.Context, id digest.Digest) (image, error) {
	var img image
	info, err := l.client.ContentStore().Info(ctx, id)
	if err != nil {
		return img, fmt.Errorf("look up image %s: %w", id, err)
	}
	if err := l.readJSON(ctx, ocispec.Descriptor{Digest: id, Size: info.Size}, &img.manifest); err != nil {
		return img, err
	}
	return img, l.readJSON(ctx, img.manifest.Config, &img.config)
}

func (l *Lab) readJSON(ctx context.Context, desc ocispec.Descriptor, into any) error {
	text, err := content.ReadBlob(ctx, l.client.ContentStore(), desc)
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("decode %s: %w", desc.Digest, err)
	}
	return nil
}

// makeBase adds the layers of base.go to busybox. They go straight into
// containerd: no docker command makes layers with marks, capabilities and times
// of one's choice.
func (l *Lab) makeBase(ctx context.Context) error {
	if err := l.LoadImages(ctx, "busybox"); err != nil {
		return err
	}
	id, err := l.Call(ctx, "", "image", "inspect", "-f", "{{.Id}}", "busybox")
	if err != nil {
		return err
	}
	ctx = l.moby(ctx)
	img, err := l.readImage(ctx, digest.Digest(id))
	if err != nil {
		return err
	}
	layers, err := l.baseLayers(ctx, len(img.manifest.Layers))
	if err != nil {
		return err
	}
	for _, layer := range layers {
		desc, err := l.put(ctx, ocispec.MediaTypeImageLayer, layer, nil)
		if err != nil {
			return err
		}
		img.manifest.Layers = append(img.manifest.Layers, desc)
		img.config.RootFS.DiffIDs = append(img.config.RootFS.DiffIDs, desc.Digest)
		img.config.History = append(img.config.History, ocispec.History{CreatedBy: "fidelity"})
	}
	l.baseSize = len(img.manifest.Layers)
	if err := l.tag(ctx, img); err != nil {
		return err
	}
	for _, layer := range img.manifest.Layers {
		if l.inflated[layer.Digest], err = l.inflate(ctx, layer); err != nil {
			return err
		}
	}
	// Unpacked once for all cases. The lease stays as long as the lab.
	fresh, _, err := l.lease(namespaces.WithNamespace(ctx, freshNamespace), "base")
	if err != nil {
		return err
	}
	return l.apply(ctx, fresh, img)
}

func (l *Lab) baseLayers(ctx context.Context, below int) ([][]byte, error) {
	path := filepath.Join(l.scratch, "fstool")
	if err := BuildTool(ctx, "github.com/baleen-project/baleen/integration/fidelity/fstool", path); err != nil {
		return nil, err
	}
	fstool, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	foreign := 2_000_000
	if !l.mode.IDs.Empty() {
		foreign = 60_000
	}
	layers := []*layer{toolLayer(fstool), firstLayer(foreign)}
	for n := below + 3; n < l.mode.Layers; n++ {
		layers = append(layers, fillerLayer(n))
	}
	layers = append(layers, secondLayer(!l.mode.Plain))
	var tars [][]byte
	for _, layer := range layers {
		text, err := layer.bytes()
		if err != nil {
			return nil, fmt.Errorf("write layer: %w", err)
		}
		tars = append(tars, text)
	}
	return tars, nil
}

// BuildTool compiles a program of this module so that it runs in any container.
func BuildTool(ctx context.Context, pkg, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}

// tag stores an image's config and manifest and names it.
func (l *Lab) tag(ctx context.Context, img image) error {
	config, err := l.putJSON(ctx, ocispec.MediaTypeImageConfig, img.config, nil)
	if err != nil {
		return err
	}
	img.manifest.MediaType = ocispec.MediaTypeImageManifest
	img.manifest.Config = config
	manifest, err := l.putJSON(ctx, ocispec.MediaTypeImageManifest, img.manifest, append([]ocispec.Descriptor{config}, img.manifest.Layers...))
	if err != nil {
		return err
	}
	_, err = l.client.ImageService().Create(ctx, images.Image{Name: "docker.io/library/" + BaseImage, Target: manifest})
	return err
}

func (l *Lab) putJSON(ctx context.Context, mediaType string, v any, children []ocispec.Descriptor) (ocispec.Descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.put(ctx, mediaType, text, children)
}

// put stores a blob that holds children. It stays for as long as the lab.
func (l *Lab) put(ctx context.Context, mediaType string, text []byte, children []ocispec.Descriptor) (ocispec.Descriptor, error) {
	labels := map[string]string{"containerd.io/gc.root": "fidelity"}
	for i, c := range children {
		labels[fmt.Sprint("containerd.io/gc.ref.content.", i)] = c.Digest.String()
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	err := content.WriteBlob(ctx, l.client.ContentStore(), desc.Digest.String(), bytes.NewReader(text), desc, content.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, fmt.Errorf("store %s: %w", desc.Digest, err)
	}
	return desc, nil
}

// withLayers calls f with the tar streams of an image's layers as files, one
// after the other.
func (l *Lab) withLayers(ctx context.Context, layers []ocispec.Descriptor, f func(i int, path string) error) error {
	for i, layer := range layers {
		if path, ok := l.inflated[layer.Digest]; ok {
			if err := f(i, path); err != nil {
				return err
			}
			continue
		}
		path, err := l.inflate(ctx, layer)
		if err != nil {
			return err
		}
		if err := errors.Join(f(i, path), os.Remove(path)); err != nil {
			return err
		}
	}
	return nil
}
