package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Store is a content store in memory that is only read.
type Store struct {
	content.Store // none: what is not below is not called
	All           map[digest.Digest][]byte
}

// New makes a store that is empty.
func New() *Store { return &Store{All: map[digest.Digest][]byte{}} }

// Add puts a blob into the store.
func (b *Store) Add(text string) digest.Digest {
	dgst := digest.FromString(text)
	b.All[dgst] = []byte(text)
	return dgst
}

// Info tells that each blob is a layer whose diffID is its digest.
func (b *Store) Info(_ context.Context, dgst digest.Digest) (content.Info, error) {
	text, ok := b.All[dgst]
	if !ok {
		return content.Info{}, fmt.Errorf("content %s: %w", dgst, errdefs.ErrNotFound)
	}
	return content.Info{Digest: dgst, Size: int64(len(text)), Labels: map[string]string{"containerd.io/uncompressed": dgst.String()}}, nil
}

// ReaderAt opens a blob.
func (b *Store) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	text, ok := b.All[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	return reader{bytes.NewReader(text)}, nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// CheckClass fails the test for an error that a caller would take for the daemon's
// own fault.
func CheckClass(t *testing.T, err error) {
	t.Helper()
	for _, is := range []func(error) bool{errdefs.IsInvalidArgument, errdefs.IsNotFound, errdefs.IsDataLoss, errdefs.IsNotImplemented, errdefs.IsFailedPrecondition, errdefs.IsResourceExhausted, errdefs.IsOutOfRange} {
		if is(err) {
			return
		}
	}
	t.Errorf("an error of no class: %v", err)
}
