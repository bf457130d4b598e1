package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// image is one that the tests pull, made here because no registry is at hand.
type image struct {
	names  []string
	layers []layer
	// platforms that the index has a manifest for, this machine's first. Each has
	// these layers, and one of its own.
	platforms []string
	// docker makes manifests of Docker's media types, not of OCI's.
	docker bool
}

// layer is the entries of a tar stream.
type layer []entry

type entry struct {
	tar.Header
	content string
}

func file(name string, mode int64, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content}
}

func dir(name string) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, ""}
}

// foreign are platforms that the tests ask for, or that an index has besides.
var foreign = []string{"linux/amd64", "linux/arm64/v8", "linux/s390x", "linux/ppc64le"}

func everyPlatform() []string {
	own := platforms.DefaultSpec()
	all := []string{platforms.Format(own)}
	for _, name := range foreign {
		if !strings.Contains(name, own.Architecture) {
			all = append(all, name)
		}
	}
	return all
}

// images that the tests of every version pull. What the tests look for in them is
// said beside each.
func images(ctx context.Context) ([]image, error) {
	busybox, err := busyboxLayer(ctx)
	if err != nil {
		return nil, err
	}
	all := everyPlatform()
	return []image{
		// Its media types are converted by a test.
		{names: []string{"ghcr.io/containerd/busybox:1.36"}, layers: []layer{busybox}, platforms: all, docker: true},
		// Pulled for some platforms alone, after which its other content must not
		// be there: so it shares nothing with other images.
		{names: []string{"registry.k8s.io/e2e-test-images/busybox:1.29-2"}, layers: []layer{busybox, {file("e2e", 0o644, "")}}, platforms: all},
		// Its size is counted, for one platform and for all.
		{
			names:     []string{"registry.k8s.io/pause:3.6", "registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10.2"},
			layers:    []layer{{file("pause", 0o755, "#!/bin/true\n")}},
			platforms: all,
		},
		// It has several layers, which are unpacked at the same time.
		{
			names: []string{"ghcr.io/containerd/volume-copy-up:2.2"}, platforms: all, docker: true,
			layers: []layer{
				busybox,
				{dir("test_dir"), file("test_dir/test_file", 0o644, "test_content\n"), file("test_dir/gone", 0o644, "gone\n")},
				{dir("test_dir"), file("test_dir/.wh.gone", 0o644, ""), file("test_dir/more", 0o600, "more\n")},
				{dir("test_dir"), file("test_dir/test_file", 0o640, "test_content\n"), dir("opaque"), file("opaque/below", 0o644, "below\n")},
				{dir("opaque"), file("opaque/.wh..wh..opq", 0o644, ""), file("opaque/above", 0o644, "above\n")},
			},
		},
		// It has a setuid program and a shell of that name.
		{
			names: []string{"ghcr.io/containerd/volume-ownership:2.1"}, platforms: all,
			layers: []layer{
				busybox,
				{file("bin/bash", 0o755, "#!/bin/sh\nexec /bin/sh \"$@\"\n"), dir("usr"), dir("usr/bin"), file("usr/bin/passwd", 0o4755, "#!/bin/true\n")},
			},
		},
		// Its later layers remove what is in its first ones.
		{
			names: []string{"ghcr.io/containerd/whiteout-test:1.0"}, platforms: all,
			layers: []layer{
				busybox,
				{file("file-to-delete", 0o644, "file\n"), dir("dir-to-delete"), file("dir-to-delete/file", 0o644, "file\n")},
				{file(".wh.file-to-delete", 0o644, "")},
				{file(".wh.dir-to-delete", 0o644, "")},
			},
		},
		// It is not for this platform.
		{names: []string{"ghcr.io/containerd/windows/nanoserver:1809"}, platforms: []string{"windows/amd64"}, layers: []layer{{dir("Files")}}},
	}, nil
}

// busyboxLayer has the files of the stack's busybox image.
func busyboxLayer(ctx context.Context) (layer, error) {
	bin, err := stack.BinDir()
	if err != nil {
		return nil, err
	}
	image, err := baseimage.Find("busybox:latest")
	if err != nil {
		return nil, err
	}
	path, err := image.Tar(ctx, bin)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var l layer
	for archive := tar.NewReader(f); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		l = append(l, entry{*header, string(content)})
	}
}

// imageTime is the time of all that is made here: a build of the same gives the
// same bytes.
var imageTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// pack returns the layer as it is and packed with gzip.
func (l layer) pack() (plain, packed []byte, err error) {
	var out, zipped bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, e := range l {
		e.ModTime = imageTime
		if err := archive.WriteHeader(&e.Header); err != nil {
			return nil, nil, fmt.Errorf("pack %s: %w", e.Name, err)
		}
		if _, err := io.WriteString(archive, e.content); err != nil {
			return nil, nil, fmt.Errorf("pack %s: %w", e.Name, err)
		}
	}
	z := gzip.NewWriter(&zipped)
	if err := archive.Close(); err != nil {
		return nil, nil, err
	}
	if _, err := z.Write(out.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := z.Close(); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), zipped.Bytes(), nil
}

// mediaTypes of an index, a manifest, a configuration and a layer.
type mediaTypes struct{ index, manifest, config, layer string }

func (i image) mediaTypes() mediaTypes {
	if i.docker {
		const docker = "application/vnd.docker."
		return mediaTypes{
			docker + "distribution.manifest.list.v2+json", docker + "distribution.manifest.v2+json",
			docker + "container.image.v1+json", docker + "image.rootfs.diff.tar.gzip",
		}
	}
	return mediaTypes{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip}
}

// put writes the image to a store, under all its names, and returns the digest of
// its index.
func (i image) put(s store) (digest.Digest, error) {
	types := i.mediaTypes()
	var repositories []string
	for _, name := range i.names {
		repository, _ := splitName(name)
		repositories = append(repositories, repository)
	}
	shared, err := layers{}.with(s, types.layer, i.layers, repositories)
	if err != nil {
		return "", err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: types.index}
	for _, name := range i.platforms {
		desc, err := i.manifest(s, name, shared, repositories)
		if err != nil {
			return "", err
		}
		index.Manifests = append(index.Manifests, desc)
	}
	desc, err := s.manifest(types.index, index, repositories...)
	if err != nil {
		return "", err
	}
	for _, name := range i.names {
		repository, tag := splitName(name)
		if err := s.tag(repository, tag, desc.Digest); err != nil {
			return "", err
		}
	}
	return desc.Digest, nil
}

// layers are in a store.
type layers struct {
	descriptors []ocispec.Descriptor
	diffIDs     []digest.Digest
}

// with writes more layers, and returns all.
func (l layers) with(s store, mediaType string, more []layer, repositories []string) (layers, error) {
	all := layers{slices.Clone(l.descriptors), slices.Clone(l.diffIDs)}
	for _, one := range more {
		plain, packed, err := one.pack()
		if err != nil {
			return layers{}, err
		}
		desc, err := s.blob(mediaType, packed, repositories...)
		if err != nil {
			return layers{}, err
		}
		all.descriptors, all.diffIDs = append(all.descriptors, desc), append(all.diffIDs, digest.FromBytes(plain))
	}
	return all, nil
}

// manifest writes what one platform has.
func (i image) manifest(s store, platform string, stored layers, repositories []string) (ocispec.Descriptor, error) {
	types := i.mediaTypes()
	p, err := platforms.Parse(platform)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	// No other image has this layer. runc mounts something on /run, which cannot be
	// made in a read-only container.
	layers, err := stored.with(s, types.layer, []layer{{dir("run"), file("platform", 0o644, platform+" of "+i.names[0]+"\n")}}, repositories)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	created := imageTime
	config, err := s.config(types.config, ocispec.Image{
		Created: &created, Platform: p,
		Config: ocispec.ImageConfig{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: layers.diffIDs},
	}, repositories...)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := s.manifest(types.manifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: types.manifest, Config: config, Layers: layers.descriptors,
	}, repositories...)
	desc.Platform = &p
	return desc, err
}

// splitName returns the repository and the tag of a name, without its host: one
// registry stands in for all hosts.
func splitName(name string) (repository, tag string) {
	_, path, _ := strings.Cut(name, "/")
	i := strings.LastIndexByte(path, ':')
	return path[:i], path[i+1:]
}
