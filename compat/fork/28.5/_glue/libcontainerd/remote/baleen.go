package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/content"
	c8dimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// StoredCheckpoint names the only file of a checkpoint's folder whose content
// containerd has already: its descriptor, as JSON.
const StoredCheckpoint = "baleen-descriptor.json"

// uploadCheckpoint brings a checkpoint's folder into containerd's store, and
// keeps it there until release is called. It may be there already: the one that
// it was unpacked from, or another of the same.
func (c *client) uploadCheckpoint(ctx context.Context, dir string) (_ *types.Descriptor, release func(), _ error) {
	text, err := os.ReadFile(filepath.Join(dir, StoredCheckpoint))
	if err == nil {
		var desc ocispec.Descriptor
		if err := json.Unmarshal(text, &desc); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", StoredCheckpoint, err)
		}
		return descriptor(desc.Digest, desc.Size), func() {}, nil
	}
	ctx, done, err := c.client.WithLease(ctx)
	if err != nil {
		return nil, nil, err
	}
	release = func() {
		if err := done(context.WithoutCancel(ctx)); err != nil {
			c.logger.WithError(err).Warn("could not delete the lease of a checkpoint; it ends within a day")
		}
	}
	desc, err := c.writeCheckpoint(ctx, dir)
	if err != nil {
		release()
		return nil, nil, err
	}
	return desc, release, nil
}

func (c *client) writeCheckpoint(ctx context.Context, dir string) (_ *types.Descriptor, err error) {
	tar := archive.Diff(ctx, "", dir)
	defer func() { err = errors.Join(err, tar.Close()) }()
	w, err := c.client.ContentStore().Writer(ctx, content.WithRef(dir))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	sum := digest.Canonical.Digester()
	size, err := io.Copy(w, io.TeeReader(tar, sum.Hash()))
	if err != nil {
		return nil, err
	}
	// Before: of a blob that it has already containerd says so, and nothing keeps
	// it then.
	if err := c.keepContent(ctx, sum.Digest()); err != nil {
		return nil, err
	}
	if err := w.Commit(ctx, size, sum.Digest()); err != nil && !cerrdefs.IsAlreadyExists(err) {
		return nil, err
	}
	return descriptor(sum.Digest(), size), nil
}

// keepContent puts a blob, which need not exist yet, under the lease in ctx.
func (c *client) keepContent(ctx context.Context, dgst digest.Digest) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return fmt.Errorf("keep checkpoint %s: no lease: %w", dgst, cerrdefs.ErrFailedPrecondition)
	}
	return c.client.LeasesService().AddResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: dgst.String(), Type: "content"})
}

func descriptor(dgst digest.Digest, size int64) *types.Descriptor {
	return &types.Descriptor{MediaType: c8dimages.MediaTypeContainerd1Checkpoint, Digest: dgst.String(), Size: size}
}
