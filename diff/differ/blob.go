package differ

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

const (
	// blobPiece is how much goes to the store at a time.
	blobPiece = 1 << 20
	// cleanupTimeout bounds what is done after ctx has ended.
	cleanupTimeout = 10 * time.Second
)

// blob is a layer on its way into a content store. It is written through
// containerd's own interface, for the store may be the one of this process as
// well as another's: unlike imageservice's ingest it does not need to be fast
// with the smallest of blobs, as it has no other round trips.
type blob struct {
	store  content.Store
	w      content.Writer
	buf    *bufio.Writer
	ref    string
	own    bool // the reference is ours, and not a caller's to go on with
	stored bool
}

// openBlob starts a blob under a reference; if that is empty, under a new one.
func openBlob(ctx context.Context, store content.Store, ref, mediaType string) (*blob, error) {
	b := &blob{store: store, ref: ref, own: ref == ""}
	if b.own {
		b.ref = "baleen-diff-" + rand.Text()
	}
	var err error
	b.w, err = store.Writer(ctx, content.WithRef(b.ref), content.WithDescriptor(ocispec.Descriptor{MediaType: mediaType}))
	if err != nil {
		return nil, fmt.Errorf("open layer for writing: %w", err)
	}
	if !b.own { // what an earlier try has written
		if err := b.w.Truncate(0); err != nil {
			return nil, fmt.Errorf("begin layer again: %w", errors.Join(err, b.w.Close()))
		}
	}
	b.buf = bufio.NewWriterSize(b.w, blobPiece)
	return b, nil
}

// Write takes a piece of the blob.
func (b *blob) Write(p []byte) (int, error) { return b.buf.Write(p) }

// commit makes the blob one of the store's, which checks its size and digest.
func (b *blob) commit(ctx context.Context, layer diff.Layer, labels map[string]string) error {
	if err := b.buf.Flush(); err != nil {
		return fmt.Errorf("write layer %s: %w", layer.Blob.Digest, err)
	}
	labels = labelsOf(labels, layer.DiffID)
	err := b.w.Commit(ctx, layer.Blob.Size, layer.Blob.Digest, content.WithLabels(labels))
	switch {
	case err == nil:
		b.stored = true
		return nil
	case errdefs.IsAlreadyExists(err): // the store has dropped what was written
		b.stored = true
		return addLabels(ctx, b.store, layer.Blob.Digest, labels)
	default:
		return fmt.Errorf("store layer %s: %w", layer.Blob.Digest, err)
	}
}

// close ends the blob, and drops what was written under our own reference if it
// was not committed. It returns the failure that it is given, with its own.
func (b *blob) close(ctx context.Context, failure error) error {
	err := b.w.Close()
	if b.stored {
		return failure // a writer that has committed may say that it is closed
	}
	failure = errors.Join(failure, err)
	if !b.own {
		return failure
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := b.store.Abort(ctx, b.ref); err != nil && !errdefs.IsNotFound(err) {
		return errors.Join(failure, fmt.Errorf("drop layer: %w", err))
	}
	return failure
}

// labelsOf adds the diffID to a caller's labels.
func labelsOf(given map[string]string, diffID digest.Digest) map[string]string {
	with := map[string]string{}
	maps.Copy(with, given)
	with[labels.LabelUncompressed] = diffID.String()
	return with
}

// addLabels gives a blob that exists the labels that it lacks.
func addLabels(ctx context.Context, store content.Manager, dgst digest.Digest, labels map[string]string) error {
	info, err := store.Info(ctx, dgst)
	if err != nil {
		return fmt.Errorf("look up layer %s: %w", dgst, err)
	}
	missing := content.Info{Digest: dgst, Labels: map[string]string{}}
	var fields []string
	for name, value := range labels {
		if info.Labels[name] == "" {
			missing.Labels[name] = value
			fields = append(fields, "labels."+name)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	if _, err := store.Update(ctx, missing, fields...); err != nil {
		return fmt.Errorf("label layer %s: %w", dgst, err)
	}
	return nil
}
