package bounded

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ReadBlob returns a blob's bytes, which need not be JSON and are within the limit
// of bytes.
func (l Limits) ReadBlob(ctx context.Context, from content.Provider, desc ocispec.Descriptor) (_ []byte, err error) {
	blob, err := from.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	if err := l.checkSize(blob.Size()); err != nil {
		return nil, err
	}
	text := make([]byte, blob.Size())
	n, err := blob.ReadAt(text, 0)
	if errors.Is(err, io.EOF) {
		if err = nil; n < len(text) {
			err = io.ErrUnexpectedEOF
		}
	}
	return text, err
}

// ReadJSON decodes a blob.
func (l Limits) ReadJSON(ctx context.Context, from content.Provider, desc ocispec.Descriptor, into any) error {
	text, err := l.ReadBlob(ctx, from, desc)
	if err != nil {
		return err
	}
	return l.Unmarshal(text, into)
}

// Provider has only blobs that are within the limits, which makes it one for JSON
// alone.
func (l Limits) Provider(from content.Provider) content.Provider { return provider{l, from} }

type provider struct {
	limits Limits
	from   content.Provider
}

func (p provider) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	text, err := p.limits.ReadBlob(ctx, p.from, desc)
	if err == nil {
		err = p.limits.Check(text)
	}
	if err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(text)}, nil
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
