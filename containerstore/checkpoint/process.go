package checkpoint

import (
	"bufio"
	"context"
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

	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/blob"
)

// Annotations of a [MediaTypeProcess]: what it is unpacked.
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
		MediaType: MediaTypeProcess, Digest: blob.Digest, Size: blob.Size,
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
	if c.Process.MediaType != MediaTypeProcess {
		return *c.Process, false, nil
	}
	raw.MediaType = images.MediaTypeContainerd1Checkpoint
	if raw.Digest, err = digest.Parse(c.Process.Annotations[annotationRawDigest]); err == nil {
		raw.Size, err = strconv.ParseInt(c.Process.Annotations[annotationRawSize], 10, 64)
	}
	if err == nil {
		err = baseimage.CheckDescriptors(raw)
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
	packed, err := store.ReaderAt(ctx, *c.Process)
	if err != nil {
		return Unreadable("the state of the processes", *c.Process, err)
	}
	defer func() { err = errors.Join(err, packed.Close()) }()
	// Each piece that the decoder asks for would be a call to containerd.
	buffered := bufio.NewReaderSize(content.NewReader(packed), 1<<20)
	z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(processWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	// More than it is to be is as wrong as anything else.
	return blob.Write(ctx, store, io.LimitReader(z, raw.Size+1), raw)
}
