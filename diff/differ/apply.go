package differ

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compress"
)

// Apply unpacks a layer into a snapshot that is mounted so, and returns what its
// stream was: size and digest, which is the diffID. It is for the caller to
// compare. The files are on disk afterwards if the option SyncFs says so.
//
// A media type for which containerd has no stream processor is errdefs'
// ErrNotImplemented, as is every unusual one for a remote differ.
func (d *Differ) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...c8ddiff.ApplyOpt) (ocispec.Descriptor, error) {
	began := time.Now()
	var config c8ddiff.ApplyConfig
	for _, opt := range opts {
		if err := opt(ctx, desc, &config); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("apply layer %s: %w", desc.Digest, err)
		}
	}
	_, known := compress.KindOf(desc.MediaType)
	if !known && d.opts.Remote {
		return ocispec.Descriptor{}, fmt.Errorf("apply layer %s: media type %s: %w", desc.Digest, desc.MediaType, errdefs.ErrNotImplemented)
	}
	if !known {
		log.G(ctx).WithFields(log.Fields{"digest": desc.Digest, "media": desc.MediaType}).
			Info("unpacking by containerd's own applier: the media type is for its stream processors")
		return d.applyOther(ctx, desc, mounts, config)
	}
	applied, err := d.apply(ctx, desc, mounts, config.SyncFs)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("apply layer %s: %w", desc.Digest, err)
	}
	log.G(ctx).WithFields(log.Fields{"digest": desc.Digest, "size": desc.Size, "media": desc.MediaType, "d": time.Since(began)}).Debug("unpacked a layer")
	return applied, nil
}

func (d *Differ) apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, sync bool) (_ ocispec.Descriptor, err error) {
	blob, err := d.store.ReaderAt(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	diffID, stats, err := apply.ToMounts(ctx, content.NewReader(blob), mounts, apply.Options{Sync: sync, Limit: d.opts.Limit})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: stats.Bytes}, nil
}

// applyOther leaves a layer to containerd, with its stream processors.
func (d *Differ) applyOther(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, config c8ddiff.ApplyConfig) (ocispec.Descriptor, error) {
	applied, err := d.applier.Apply(ctx, desc, mounts, func(_ context.Context, _ ocispec.Descriptor, c *c8ddiff.ApplyConfig) error {
		*c = config
		return nil
	})
	if errors.Is(err, c8ddiff.ErrNoProcessor) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrNotImplemented)
	}
	return applied, err
}
