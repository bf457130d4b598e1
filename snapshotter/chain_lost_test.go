package snapshotter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/fault/lossydisk"
	"github.com/baleen-project/baleen/snapshotter"
)

// TestApplyLayersHearsOfLostData: a disk loses the data of a layer that waits for
// the one below it, and somebody else is told so. The layer must not become a
// snapshot all the same.
func TestApplyLayersHearsOfLostData(t *testing.T) {
	disk := lossydisk.New(t)
	sn, err := overlay.NewSnapshotter(filepath.Join(disk.Dir, "sn"))
	check(t, err)
	defer sn.Close()
	body := make([]byte, 8<<20)
	_, _ = rand.Read(body)
	b := chainOf(t, []string{"a=a"}, []string{"b=" + string(body)})
	extracted := make(chan struct{})
	fetch := func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
		if d.Digest == b.layers[1].Blob.Digest {
			disk.Fill(t)
			return &closing{bytes.NewReader(b.bytes[d.Digest]), extracted}, nil
		}
		select {
		case <-extracted:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := disk.SyncOther(); err == nil {
			t.Error("the disk has lost nothing")
		}
		disk.Free(t)
		return b.fetch(ctx, d)
	}
	_, err = snapshotter.ApplyLayers(t.Context(), sn, b.layers, fetch, snapshotter.ChainOptions{AtOnce: 2})
	if err == nil {
		t.Error("a layer whose data is lost became a snapshot")
	}
	t.Log(err)
}

// closing tells when it is closed.
type closing struct {
	*bytes.Reader
	closed chan struct{}
}

func (c *closing) Close() error { close(c.closed); return nil }
