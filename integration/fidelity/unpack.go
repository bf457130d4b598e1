package fidelity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// inflate writes a layer's tar stream to a file.
func (l *Lab) inflate(ctx context.Context, layer ocispec.Descriptor) (_ string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("inflate layer %s: %w", layer.Digest, err)
		}
	}()
	blob, err := l.client.ContentStore().ReaderAt(ctx, layer)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	stream, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return "", err
	}
	defer stream.Close()
	file, err := os.CreateTemp(l.scratch, "layer-*.tar")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = io.Copy(file, stream)
	return file.Name(), err
}

// plain unpacks all layers into one directory, where marks delete files at
// once, and looks at the new layer's tar meanwhile.
func (k *check) plain(ctx context.Context) (err error) {
	root, err := os.MkdirTemp(k.scratch, "plain-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	var told error
	err = k.withLayers(ctx, k.img.manifest.Layers, func(i int, path string) error {
		if i >= k.below {
			told = k.layer(ctx, path, k.img.config.RootFS.DiffIDs[i])
		}
		return applyTo(ctx, root, path)
	})
	if err != nil {
		return errors.Join(fmt.Errorf("unpack the image into a plain directory: %w", err), told)
	}
	return errors.Join(told, k.unpacked(ctx, "its layers unpacked into a plain directory", root))
}

func applyTo(ctx context.Context, root, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = archive.Apply(ctx, root, file)
	return err
}

// overlay unpacks all layers in a namespace that does not know the image, as
// containerd does after a pull.
func (k *check) overlay(ctx context.Context) (err error) {
	if k.mode.Plain {
		return nil
	}
	fresh, end, err := k.lease(namespaces.WithNamespace(ctx, freshNamespace), rand.Text())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := k.apply(ctx, fresh, k.img); err != nil {
		return err
	}
	return k.withView(fresh, k.img.config.RootFS.DiffIDs, func(root string) error {
		return k.unpacked(ctx, "its layers unpacked by containerd", root)
	})
}

// lease is ctx with a lease that holds what is made, until its end.
func (l *Lab) lease(ctx context.Context, id string) (context.Context, func() error, error) {
	held, err := l.client.LeasesService().Create(ctx, leases.WithID("fidelity-"+id))
	if err != nil {
		return nil, nil, fmt.Errorf("create lease: %w", err)
	}
	end := func() error {
		return l.client.LeasesService().Delete(context.WithoutCancel(ctx), held, leases.SynchronousDelete)
	}
	return leases.WithLease(ctx, held.ID), end, nil
}

// apply unpacks an image, whose blobs ctx knows, in the namespace of fresh.
func (l *Lab) apply(ctx, fresh context.Context, img image) error {
	store := l.client.ContentStore()
	var layers []rootfs.Layer
	for i, blob := range img.manifest.Layers {
		layers = append(layers, rootfs.Layer{Blob: blob, Diff: ocispec.Descriptor{Digest: img.config.RootFS.DiffIDs[i]}})
		from, err := store.ReaderAt(ctx, blob)
		if err != nil {
			return err
		}
		err = content.WriteBlob(fresh, store, blob.Digest.String(), content.NewReader(from), blob)
		if err := errors.Join(err, from.Close()); err != nil {
			return fmt.Errorf("copy layer %s: %w", blob.Digest, err)
		}
	}
	if _, err := rootfs.ApplyLayers(fresh, layers, l.client.SnapshotService(l.mode.snapshotter()), l.client.DiffService()); err != nil {
		return fmt.Errorf("unpack the image by containerd: %w", err)
	}
	return nil
}

// at is a file of the container.
func (k *check) at(name string) string { return filepath.Join(k.container, name) }
