package blobs

import (
	"context"
	"encoding/json"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Store writes blobs into containerd's content store, under the leases of operations.
type Store struct {
	client     *containerd.Client
	content    content.Store
	operations *lease.Operations
	folder     folder
	placing    placing
}

// New returns a store that writes through client.
func New(client *containerd.Client, operations *lease.Operations) *Store {
	return &Store{client: client, content: client.ContentStore(), operations: operations}
}

// Blob is a small blob, still to be written.
type Blob struct {
	Desc   ocispec.Descriptor
	Text   []byte
	Labels map[string]string
}

// Encode returns a part of an image as JSON, and the descriptor of that text. What
// could not be read again is an error.
func Encode(mediaType string, v any) (ocispec.Descriptor, []byte, error) {
	text, err := json.Marshal(v)
	if err == nil {
		err = bounded.Image.Check(text)
	}
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}, text, nil
}

// WriteAll stores blobs all at once: each waits for the disk, and none for
// the others.
func (s *Store) WriteAll(ctx context.Context, blobs []Blob) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, b := range blobs {
		all.Go(func() error {
			if err := s.write(ctx, b); err != nil {
				return fmt.Errorf("write %s %s: %w", b.Desc.MediaType, b.Desc.Digest, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// write stores text with labels under the lease in ctx. A blob that exists
// already is put under the lease too, and gets the labels that it lacks: it
// may be somebody else's garbage.
func (s *Store) write(ctx context.Context, b Blob) error {
	err := s.tryWrite(ctx, b)
	if errdefs.IsNotFound(err) { // it existed, and was collected before it was ours
		err = s.tryWrite(ctx, b)
	}
	return err
}

func (s *Store) tryWrite(ctx context.Context, b Blob) (err error) {
	w, err := s.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = w.Close(ctx, err) }()
	if _, err := w.Write(b.Text); err != nil {
		return err
	}
	return w.Commit(ctx, b.Desc, b.Labels)
}

// Adopt puts a blob that exists under the lease in ctx, and sets the labels that it does
// not have. Existing labels are kept: another image may rely on them.
func (s *Store) Adopt(ctx context.Context, dgst digest.Digest, labels map[string]string) error {
	if err := s.operations.KeepBlob(ctx, dgst); err != nil {
		return err
	}
	info, err := s.content.Info(ctx, dgst)
	if err != nil {
		return err
	}
	update := content.Info{Digest: dgst, Labels: map[string]string{}}
	var paths []string
	for k, v := range labels {
		if _, ok := info.Labels[k]; !ok {
			update.Labels[k] = v
			paths = append(paths, "labels."+k)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	_, err = s.content.Update(ctx, update, paths...)
	return err
}
