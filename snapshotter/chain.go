package snapshotter

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

// Fetch opens the blob of a layer.
type Fetch func(ctx context.Context, blob ocispec.Descriptor) (io.ReadCloser, error)

// ChainOptions says how a chain of layers becomes snapshots.
type ChainOptions struct {
	// Snapshot is passed on whenever a snapshot is prepared or committed, to
	// label it for example.
	Snapshot []snapshots.Opt
	// AtOnce is how many layers may be extracted at the same time; 0 counts as
	// one. It needs a snapshotter of overlays, in whose folders one may write;
	// with another, that is found out at the cost of a few layers.
	AtOnce int
	// Limit bounds each layer.
	Limit diff.Limit
}

// ApplyLayers makes a snapshot of a chain of layers, the lowest first, and
// returns its name, the chainID. Those of its snapshots that exist are kept,
// the others unpacked on top of them.
//
// What is unpacked is checked against the layer's diffID, and on disk before it
// is committed. A chain that somebody else unpacks at the same time is as good:
// within a process it is waited for. On failure no active snapshot remains,
// and whole layers do. The caller holds a lease.
func ApplyLayers(ctx context.Context, sn snapshots.Snapshotter, layers []diff.Layer, fetch Fetch, opts ChainOptions) (digest.Digest, error) {
	if len(layers) == 0 {
		return "", fmt.Errorf("apply layers: there are none: %w", errdefs.ErrInvalidArgument)
	}
	diffIDs := make([]digest.Digest, len(layers))
	for i, l := range layers {
		diffIDs[i] = l.DiffID
	}
	chain := identity.ChainIDs(diffIDs)
	first, err := firstMissing(ctx, sn, chain)
	if err != nil {
		return "", err
	}
	var missing []*extraction
	for i := first; i < len(layers); i++ {
		e := &extraction{sn: sn, layer: layers[i], name: chain[i], fetch: fetch, opts: opts}
		if i > 0 {
			e.parent = chain[i-1].String()
		}
		missing = append(missing, e)
	}
	if opts.AtOnce > 1 && len(missing) > 1 {
		err = applyAside(ctx, missing, opts.AtOnce)
	} else {
		err = applyInTurn(ctx, missing)
	}
	if err != nil {
		return "", err
	}
	return chain[len(chain)-1], nil
}

func applyInTurn(ctx context.Context, chain []*extraction) error {
	for _, e := range chain {
		if err := e.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// firstMissing returns the index behind the highest snapshot that exists.
func firstMissing(ctx context.Context, sn snapshots.Snapshotter, chain []digest.Digest) (int, error) {
	for i, name := range slices.Backward(chain) {
		switch ok, err := exists(ctx, sn, name); {
		case err != nil:
			return 0, err
		case ok:
			return i + 1, nil
		}
	}
	return 0, nil
}

func exists(ctx context.Context, sn snapshots.Snapshotter, name digest.Digest) (bool, error) {
	_, err := sn.Stat(ctx, name.String())
	if err == nil {
		return true, nil
	}
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return false, fmt.Errorf("look up snapshot %s: %w", name, err)
}
