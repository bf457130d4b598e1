package differ

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/epoch"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// compareTries is how often changes are read that somebody goes on changing.
const compareTries = 3

// Differ makes layers of the differences between snapshots, and unpacks layers.
// Its methods may be called from several goroutines.
type Differ struct {
	opts    Options
	store   content.Store
	walking c8ddiff.Comparer
	applier c8ddiff.Applier
}

var (
	_ c8ddiff.Comparer = (*Differ)(nil)
	_ c8ddiff.Applier  = (*Differ)(nil)
)

// Options are a differ's circumstances. The zero value is for one that is part of
// containerd.
type Options struct {
	// Remote says that it serves a containerd that is another process. That one
	// has the stream processors: layers that may need them are refused with
	// errdefs' ErrNotImplemented, upon which it asks the next of its differs.
	Remote bool
	// Limit bounds the layers that are made and unpacked; what is read by comparing
	// whole trees, or by stream processors, is not bounded.
	Limit diff.Limit
}

// New returns a differ that keeps its layers in store, and reads them there.
func New(store content.Store, opts Options) *Differ {
	return &Differ{opts: opts, store: store, walking: walking.NewWalkingDiff(store), applier: apply.NewFileSystemApplier(store)}
}

// Compare stores the layer that makes upper of lower, and returns its
// descriptor. All options of containerd are honoured; media types are those of
// the image specification and of Docker's schema 2, and with a compressor every
// other. The blob has the label containerd.io/uncompressed, its diffID. It is
// garbage to containerd if no lease in ctx holds it.
func (d *Differ) Compare(ctx context.Context, lower, upper []mount.Mount, opts ...c8ddiff.Opt) (ocispec.Descriptor, error) {
	began := time.Now()
	config, err := configure(ctx, opts)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("compare: %w", err)
	}
	c, err := between(ctx, lower, upper)
	var desc ocispec.Descriptor
	if err == nil {
		desc, err = d.compare(ctx, c, config)
	}
	how := "uppers"
	if errors.Is(err, diff.ErrUnsupported) {
		how = "whole trees"
		log.G(ctx).WithError(err).Info("comparing whole trees by containerd's walking differ")
		desc, err = d.walk(ctx, lower, upper, config)
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("compare: %w", err)
	}
	log.G(ctx).WithFields(log.Fields{"digest": desc.Digest, "size": desc.Size, "media": desc.MediaType, "read": how, "d": time.Since(began)}).
		Debug("made a layer of the differences")
	return desc, nil
}

// configure applies options, and checks the media type.
func configure(ctx context.Context, opts []c8ddiff.Opt) (config c8ddiff.Config, err error) {
	for _, opt := range opts {
		if err := opt(&config); err != nil {
			return config, err
		}
	}
	for key, value := range config.Labels {
		// The content store would refuse them when all has been packed.
		if err := labels.Validate(key, value); err != nil {
			return config, err
		}
	}
	if config.SourceDateEpoch == nil {
		config.SourceDateEpoch = epoch.FromContext(ctx)
	}
	switch {
	case config.MediaType != "":
	case config.Compressor != nil:
		return config, fmt.Errorf("a compressor without a media type: %w", errdefs.ErrInvalidArgument)
	default:
		config.MediaType = ocispec.MediaTypeImageLayerGzip
	}
	if _, known := compress.KindOf(config.MediaType); !known && config.Compressor == nil {
		return config, fmt.Errorf("media type %s: %w", config.MediaType, errdefs.ErrNotImplemented)
	}
	return config, nil
}

// compare makes the layer from the uppers.
func (d *Differ) compare(ctx context.Context, c *changes.Container, config c8ddiff.Config) (ocispec.Descriptor, error) {
	// Nothing is packed in vain for what turns out to be too large.
	if _, err := changes.LayerSize(ctx, c, d.opts.Limit); err != nil && !errors.Is(err, diff.ErrChanged) {
		return ocispec.Descriptor{}, err
	}
	for try := 1; ; try++ {
		desc, err := d.attempt(ctx, c, config)
		if !errors.Is(err, diff.ErrChanged) || try == compareTries {
			return desc, err
		}
		log.G(ctx).WithError(err).Debug("reading the changes again")
	}
}

func (d *Differ) attempt(ctx context.Context, c *changes.Container, config c8ddiff.Config) (_ ocispec.Descriptor, err error) {
	b, err := openBlob(ctx, d.store, config.Reference, config.MediaType)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer func() { err = b.close(ctx, err) }()
	w, err := layerWriter(b, config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	_, err = tarlayer.WriteChanges(ctx, w, c, tarlayer.Options{Latest: config.SourceDateEpoch, Limit: d.opts.Limit})
	if err = errors.Join(err, w.Close()); err != nil {
		return ocispec.Descriptor{}, err
	}
	layer := w.Layer()
	layer.Blob.MediaType = config.MediaType
	return layer.Blob, b.commit(ctx, layer, config.Labels)
}

func layerWriter(w io.Writer, config c8ddiff.Config) (*tarlayer.Writer, error) {
	if config.Compressor != nil {
		return tarlayer.NewWriterBy(w, config.MediaType, func(w io.Writer) (io.WriteCloser, error) {
			return config.Compressor(w, config.MediaType)
		})
	}
	kind, _ := compress.KindOf(config.MediaType)
	return tarlayer.NewWriter(w, compress.Method{Kind: kind})
}

// walk compares whole trees. The walking differ knows the image specification's
// media types only, and labels what it has compressed.
func (d *Differ) walk(ctx context.Context, lower, upper []mount.Mount, config c8ddiff.Config) (ocispec.Descriptor, error) {
	mediaType := config.MediaType
	kind, _ := compress.KindOf(mediaType)
	if config.Compressor == nil {
		config.MediaType = compress.Method{Kind: kind}.MediaType()
	}
	desc, err := d.walking.Compare(ctx, lower, upper, func(c *c8ddiff.Config) error { *c = config; return nil })
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc.MediaType = mediaType
	if kind == compress.Uncompressed && config.Compressor == nil {
		err = addLabels(ctx, d.store, desc.Digest, labelsOf(config.Labels, desc.Digest))
	}
	return desc, err
}
