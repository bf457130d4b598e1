package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Stream stores the blob that write writes, and returns the descriptor and the labels of:
// one without a digest is not stored. The lease in ctx, which there must be, keeps the
// blob, also if it was there before. After an error nothing is left.
func Stream(ctx context.Context, store content.Store, manager leases.Manager, write func(io.Writer) (ocispec.Descriptor, map[string]string, error)) (err error) {
	ref := "baleen-blob-" + rand.Text()
	w, err := store.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return err
	}
	stored := false
	defer func() {
		err = errors.Join(err, w.Close())
		if stored {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		if abort := store.Abort(ctx, ref); abort != nil && !errdefs.IsNotFound(abort) {
			err = errors.Join(err, fmt.Errorf("abort: %w", abort))
		}
	}()
	desc, labels, err := write(w)
	if err != nil || desc.Digest == "" {
		return err
	}
	// Before the commit: that of a blob which is there already does not put it under the
	// lease.
	if err := keep(ctx, manager, desc.Digest); err != nil {
		return err
	}
	err = w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(labels))
	stored = err == nil
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func keep(ctx context.Context, manager leases.Manager, dgst digest.Digest) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return fmt.Errorf("keep blob %s: no lease: %w", dgst, errdefs.ErrFailedPrecondition)
	}
	return manager.AddResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: dgst.String(), Type: "content"})
}
