package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
	"github.com/baleen-project/baleen/imageservice/internal/progress"
)

// processCompression is how the state of processes is packed: see
// checkpoint.MediaTypeProcess.
var processCompression = compress.Method{Kind: compress.Zstd, Level: 1}

// packProcess compresses what CRIU has dumped, once the container is thawed. The
// dump itself goes with the lease.
func (s *Store) packProcess(ctx context.Context, t *phases.Operation, raw ocispec.Descriptor, o Options) (_ *ocispec.Descriptor, err error) {
	o.Tell("packing the processes")
	ctx, done := t.Phase(ctx, "pack processes")
	defer func() { done(err) }()
	dumped, err := blobs.FetchFrom(ctx, progress.Store{Store: s.Files.Content, Meter: progress.NewMeter(ctx, raw.Size)}, raw)
	if err != nil {
		return nil, fmt.Errorf("open the state of the processes: %w", err)
	}
	defer func() { err = errors.Join(err, dumped.Close()) }()
	packed, err := s.Commits.Ship(ctx, func(w io.Writer) (diff.Layer, error) {
		return packStream(w, checkpoint.MediaTypeProcess, dumped)
	})
	if err == nil && packed.DiffID != raw.Digest {
		err = fmt.Errorf("what was dumped as %s has been read as %s: %w", raw.Digest, packed.DiffID, errdefs.ErrDataLoss)
	}
	if err != nil {
		return nil, fmt.Errorf("pack the state of the processes: %w", err)
	}
	return checkpoint.PackedProcess(packed.Blob, raw), nil
}

func packStream(w io.Writer, mediaType string, from io.Reader) (diff.Layer, error) {
	lw, err := tarlayer.NewWriterBy(w, mediaType, func(w io.Writer) (io.WriteCloser, error) {
		return compress.NewWriter(w, processCompression)
	})
	if err != nil {
		return diff.Layer{}, err
	}
	// Each piece is a call to containerd.
	_, err = io.CopyBuffer(lw, struct{ io.Reader }{from}, make([]byte, blobs.Chunk))
	err = errors.Join(err, lw.Close())
	return lw.Layer(), err
}

// UnpackProcess returns what CRIU has dumped as containerd reads it, and keeps it
// until End.
func (r *Restore) UnpackProcess(ctx context.Context) (ocispec.Descriptor, error) {
	raw, packed, err := r.checkpoint.RawProcess()
	if err != nil || !packed {
		return raw, err
	}
	ctx = progress.With(leases.WithLease(ctx, r.lease), r.Bytes)
	if err := r.s.Files.Operations.KeepBlob(ctx, raw.Digest); err != nil {
		return raw, err
	}
	return raw, r.checkpoint.UnpackProcess(ctx, progress.Store{Store: r.s.Files.Content, Meter: progress.NewMeter(ctx, r.Process.Size)})
}
