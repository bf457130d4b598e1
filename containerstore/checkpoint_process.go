package containerstore

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of a [MediaTypeCheckpointProcess]: what it is unpacked.
const (
	annotationRawDigest = "io.baleen.checkpoint.raw.digest"
	annotationRawSize   = "io.baleen.checkpoint.raw.size"
)

// processWindow bounds what a zstd frame may make the decoder hold, in bytes, as
// that of layers is bounded.
const processWindow = 128 << 20

// PackedProcess describes a blob that holds, compressed, what CRIU has dumped.
func PackedProcess(blob, raw ocispec.Descriptor) *ocispec.Descriptor {
	return &ocispec.Descriptor{
		MediaType: MediaTypeCheckpointProcess, Digest: blob.Digest, Size: blob.Size,
		Annotations: map[string]string{
			annotationRawDigest: raw.Digest.String(),
			annotationRawSize:   strconv.FormatInt(raw.Size, 10),
		},
	}
}

// RawProcess describes what CRIU has dumped as containerd reads it, a tar file. If
// the checkpoint has it compressed it is probably not in the content store.
func (c *Checkpoint) RawProcess() (raw ocispec.Descriptor, packed bool, err error) {
	if c.Process == nil {
		return raw, false, fmt.Errorf("it has files alone, and no processes: %w", errdefs.ErrNotFound)
	}
	if c.Process.MediaType != MediaTypeCheckpointProcess {
		return *c.Process, false, nil
	}
	raw.MediaType = images.MediaTypeContainerd1Checkpoint
	if raw.Digest, err = digest.Parse(c.Process.Annotations[annotationRawDigest]); err == nil {
		raw.Size, err = strconv.ParseInt(c.Process.Annotations[annotationRawSize], 10, 64)
	}
	if err == nil {
		err = checkDescriptors(raw)
	}
	if err != nil {
		return raw, true, fmt.Errorf("what its processes unpack to: %w: %w", err, errdefs.ErrDataLoss)
	}
	return raw, true, nil
}

// UnpackProcess has the content store hold what [Checkpoint.RawProcess] describes.
// The caller holds a lease on it, also for the case that it is there.
func (c *Checkpoint) UnpackProcess(ctx context.Context, store content.Store) error {
	raw, packed, err := c.RawProcess()
	if err != nil || !packed {
		return err
	}
	if _, err := store.Info(ctx, raw.Digest); !errdefs.IsNotFound(err) {
		return err
	}
	if err := c.unpackProcess(ctx, store, raw); err != nil {
		return fmt.Errorf("unpack the state of the processes: %w", err)
	}
	return nil
}

func (c *Checkpoint) unpackProcess(ctx context.Context, store content.Store, raw ocispec.Descriptor) (err error) {
	blob, err := store.ReaderAt(ctx, *c.Process)
	if err != nil {
		return missing("the state of the processes", *c.Process, err)
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	// Each piece that the decoder asks for would be a call to containerd.
	buffered := bufio.NewReaderSize(content.NewReader(blob), 1<<20)
	z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(processWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	// More than it is to be is as wrong as anything else.
	ref := "baleen-process-" + rand.Text()
	err = content.WriteBlob(ctx, store, ref, io.LimitReader(z, raw.Size+1), raw)
	if err != nil {
		err = errors.Join(err, abort(ctx, store, ref))
	}
	return err
}

// abort drops what was written, also after ctx has ended.
func abort(ctx context.Context, store content.IngestManager, ref string) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := store.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}
