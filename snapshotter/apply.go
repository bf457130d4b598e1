package snapshotter

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/baleen-project/baleen/diff"
)

// cleanupTimeout bounds the work that goes on after the caller has given up.
const cleanupTimeout = 10 * time.Second

// Apply unpacks layer on top of the snapshot of chain, a list of diffIDs that
// may be empty and whose snapshot exists, and returns the chainID of the two.
// For the rest it is as [ApplyLayers].
func Apply(ctx context.Context, sn snapshots.Snapshotter, chain []digest.Digest, layer diff.Layer, fetch Fetch, opts ChainOptions) (digest.Digest, error) {
	e := &extraction{
		sn:     sn,
		parent: identity.ChainID(chain).String(),
		name:   identity.ChainID(append(chain[:len(chain):len(chain)], layer.DiffID)),
		layer:  layer,
		fetch:  fetch,
		opts:   opts,
	}
	return e.name, e.run(ctx)
}

// ExtractKey returns a fresh key for the active snapshot that a layer is
// unpacked into. containerd knows such keys by their prefix: a snapshotter may
// then leave out what only a container needs.
func ExtractKey(chainID digest.Digest) string {
	return fmt.Sprintf("%s-%s %s", snapshots.UnpackKeyPrefix, rand.Text(), chainID)
}

// remove drops a snapshot also when ctx has ended already.
func remove(ctx context.Context, sn snapshots.Snapshotter, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := sn.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("snapshot", key).Warn("could not remove a temporary snapshot; containerd collects it when its lease ends")
	}
}
