package criu

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
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reference is the only file of a folder that refers to a dump which containerd has:
// the descriptor of the blob, as JSON.
const reference = "baleen-descriptor.json"

// Stores are containerd's stores of blobs and leases, as its client has them.
type Stores interface {
	ContentStore() content.Store
	LeasesService() leases.Manager
	WithLease(ctx context.Context, opts ...leases.Opt) (context.Context, func(context.Context) error, error)
}

// WriteReference makes a folder that refers to a dump which containerd has.
func WriteReference(dir string, dump ocispec.Descriptor) error {
	text, err := json.Marshal(dump)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, reference), text, 0o600)
}

// Upload returns the blob that containerd restores the processes of a dump from. The
// folder holds the dump, or refers to it. containerd keeps the blob until release is
// called. The blob may be there before: a container may have been dumped, and then
// uploaded, more than once.
func Upload(ctx context.Context, s Stores, dir string) (_ *types.Descriptor, release func(), _ error) {
	text, err := os.ReadFile(filepath.Join(dir, reference))
	if err == nil {
		var desc ocispec.Descriptor
		if err := json.Unmarshal(text, &desc); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", reference, err)
		}
		return descriptor(desc.Digest, desc.Size), func() {}, nil
	}
	ctx, done, err := s.WithLease(ctx)
	if err != nil {
		return nil, nil, err
	}
	release = func() {
		if err := done(context.WithoutCancel(ctx)); err != nil {
			log.G(ctx).WithError(err).Warn("could not delete the lease of a checkpoint; it ends within a day")
		}
	}
	desc, err := writeDump(ctx, s, dir)
	if err != nil {
		release()
		return nil, nil, err
	}
	return desc, release, nil
}

func writeDump(ctx context.Context, s Stores, dir string) (_ *types.Descriptor, err error) {
	tar := archive.Diff(ctx, "", dir)
	defer func() { err = errors.Join(err, tar.Close()) }()
	w, err := s.ContentStore().Writer(ctx, content.WithRef(dir))
	if err != nil {
		return nil, err
	}
	committed := false
	defer func() {
		w.Close()
		if !committed {
			_ = s.ContentStore().Abort(context.WithoutCancel(ctx), dir)
		}
	}()
	if err := w.Truncate(0); err != nil { // of what an earlier upload left
		return nil, err
	}
	sum := digest.Canonical.Digester()
	size, err := io.Copy(w, io.TeeReader(tar, sum.Hash()))
	if err != nil {
		return nil, err
	}
	// The lease comes before the commit: if containerd has the blob already, the commit
	// says so and does not put it under the lease.
	if err := keepContent(ctx, s, sum.Digest()); err != nil {
		return nil, err
	}
	err = w.Commit(ctx, size, sum.Digest())
	committed = err == nil
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, err
	}
	return descriptor(sum.Digest(), size), nil
}

// keepContent puts a blob, which need not exist yet, under the lease in ctx.
func keepContent(ctx context.Context, s Stores, dgst digest.Digest) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return fmt.Errorf("keep checkpoint %s: no lease: %w", dgst, errdefs.ErrFailedPrecondition)
	}
	return s.LeasesService().AddResource(ctx, leases.Lease{ID: id}, leases.Resource{ID: dgst.String(), Type: "content"})
}

func descriptor(dgst digest.Digest, size int64) *types.Descriptor {
	return &types.Descriptor{MediaType: images.MediaTypeContainerd1Checkpoint, Digest: dgst.String(), Size: size}
}
