package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// abortTimeout bounds dropping what was written, which is also done after the
// caller's context has ended.
const abortTimeout = 30 * time.Second

// Write stores the blob that desc describes, which is what r has, under the lease in
// ctx. A blob that is there already is under the lease then. After an error nothing of
// what was written is left.
//
// [content.WriteBlob] does not do: for as long as containerd is away it goes on
// trying, and does not return.
func Write(ctx context.Context, store content.Ingester, r io.Reader, desc ocispec.Descriptor, opts ...content.Opt) error {
	ref := "baleen-blob-" + rand.Text()
	w, err := store.Writer(ctx, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		err = content.Copy(ctx, w, r, desc.Size, desc.Digest, opts...)
		err = errors.Join(err, w.Close())
	}
	if err == nil {
		return nil
	}
	manager, ok := store.(content.IngestManager)
	if !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if abort := manager.Abort(ctx, ref); abort != nil && !errdefs.IsNotFound(abort) {
		return fmt.Errorf("%w (and could not be aborted: %w)", err, abort)
	}
	return err
}
