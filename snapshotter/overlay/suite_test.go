package overlay_test

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

func TestSuite(t *testing.T) {
	requireRoot(t)
	// By this name the suite knows that directories below cannot be renamed.
	testsuite.SnapshotterSuite(t, "overlayfs", func(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		s, err := overlay.New(root)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	})
}
