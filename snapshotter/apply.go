package snapshotter

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	ourdiff "github.com/baleen-project/baleen/diff"
)

// cleanupTimeout bounds the work that goes on after the caller has given up.
const cleanupTimeout = 10 * time.Second

// Apply unpacks layer on top of the snapshot of chain, a list of diffIDs that
// may be empty, and commits it under the chainID of the two. A snapshot that
// is committed by someone else meanwhile is as good; also one that was there
// before, but that is not looked for: only committing puts it under the lease.
//
// What was extracted is checked against the layer's diffID. On failure no
// snapshot remains. The caller holds a lease: nothing else keeps the result
// until an image refers to it.
func Apply(ctx context.Context, sn snapshots.Snapshotter, applier diff.Applier, chain []digest.Digest, layer ourdiff.Layer) (_ digest.Digest, err error) {
	parent := identity.ChainID(chain).String()
	chainID := identity.ChainID(append(chain[:len(chain):len(chain)], layer.DiffID))
	key := ExtractKey(chainID)
	mounts, err := sn.Prepare(ctx, key, parent)
	if err != nil {
		return "", fmt.Errorf("prepare snapshot %s on %q: %w", key, parent, err)
	}
	committed := false
	defer func() {
		if !committed {
			remove(ctx, sn, key)
		}
	}()

	applied, err := applier.Apply(ctx, layer.Blob, mounts, diff.WithSyncFs(true))
	if err != nil {
		return "", fmt.Errorf("extract layer %s: %w", layer.Blob.Digest, err)
	}
	if applied.Digest != layer.DiffID {
		return "", fmt.Errorf("extract layer %s: stream is %s, its diffID says %s: %w",
			layer.Blob.Digest, applied.Digest, layer.DiffID, errdefs.ErrDataLoss)
	}
	switch err := sn.Commit(ctx, chainID.String(), key); {
	case err == nil:
		committed = true
	case !errdefs.IsAlreadyExists(err):
		return "", fmt.Errorf("commit snapshot %s: %w", chainID, err)
	}
	return chainID, nil
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
