package overlay

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/dirtree"
)

// measure walks a folder of a snapshot.
func measure(ctx context.Context, folder string) (snapshots.Usage, error) {
	usage, err := dirtree.Measure(ctx, folder)
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return snapshots.Usage{Size: usage.Bytes, Inodes: usage.Inodes}, err
}
