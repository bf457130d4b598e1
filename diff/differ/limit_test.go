package differ_test

import (
	"errors"
	"strings"
	"testing"

	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/pkg/rootfs"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/differ"
)

// TestLimit: a differ neither makes nor unpacks a layer that is larger than allowed.
func TestLimit(t *testing.T) {
	l := newLab(t)
	base := l.committed("overlay", "", "echo base > file")
	key := l.active("overlay", base, "truncate -s 1G hole; echo small > small")
	layer := l.diff("overlay", key)
	small := differ.New(l.store, differ.Options{Limit: diff.Limit{Bytes: 1 << 20, Allow: "ask the mate"}})
	_, err := rootfs.CreateDiff(l.ctx, key, l.sn("overlay"), small)
	refused(t, "made", err, `"hole": a file of 1073741824 bytes`)

	for i, opts := range [][]c8ddiff.ApplyOpt{nil, {c8ddiff.WithSyncFs(true)}} {
		to := l.active("overlay", base, "true")
		mounts, err := l.sn("overlay").Mounts(l.ctx, to)
		check(t, err)
		_, err = small.Apply(l.ctx, layer, mounts, opts...)
		refused(t, []string{"unpacked", "unpacked and synced"}[i], err, `entry "hole": a file of 1073741824 bytes`)
	}
}

func refused(t *testing.T, what string, err error, says string) {
	t.Helper()
	if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "ask the mate") {
		t.Errorf("%s: %v", what, err)
	}
}
