package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// zeroBomb is a layer of one file of zeros, whose size is a multiple of 128 KiB,
// packed by zstd to a thirty-thousandth.
func zeroBomb(t *testing.T, size int64) []byte {
	t.Helper()
	var header bytes.Buffer
	if err := tar.NewWriter(&header).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	// RFC 8878, 3.1.1: one frame, with a window of 128 KiB, of a raw block and many of
	// one repeated byte.
	const raw, repeated, last, most = 0 << 1, 1 << 1, 1, 128 << 10
	block := func(size, kind uint32, content ...byte) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, size<<3|kind)[:3], content...)
	}
	bomb := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (17 - 10) << 3}
	bomb = append(bomb, block(uint32(header.Len()), raw, header.Bytes()...)...)
	bomb = append(bomb, bytes.Repeat(block(most, repeated, 0), int(size/most))...)
	return append(bomb, block(1024, repeated|last, 0)...)
}

// TestCreateFollowsItsRequest: to unpack an image takes as long as the image likes.
// When the client goes away, so does what was begun.
func TestCreateFollowsItsRequest(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	storedLayer(t, e, "bomb", ocispec.MediaTypeImageLayerZstd, zeroBomb(t, 512<<30), digest.FromString("never"))
	before := e.State(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	created, out := unpacking(t, e, ctx, before)
	cancel()
	if err := created.Wait(); err == nil {
		t.Errorf("docker create: %s", out.String())
	}
	e.Settled(t, before)
	if left := e.Must(t, "ps", "-aq"); left != "" {
		t.Errorf("containers are left: %s", left)
	}

	// And one that is larger than allowed is not begun.
	storedLayer(t, e, "larger", ocispec.MediaTypeImageLayerZstd, zeroBomb(t, 2<<40), digest.FromString("never"))
	before = e.State(t)
	text, err := e.TryWithin(t, harness.AtOnce, "create", "larger", "/x")
	if err == nil || !strings.Contains(text, `entry "zeros": a file of 2199023255552 bytes`) || !strings.Contains(text, "baleen.max-layer-size") {
		t.Errorf("docker create: %v: %s", err, text)
	}
	e.Settled(t, before)
}

// unpacking starts `docker create` of the image bomb, and returns when that is being
// unpacked.
func unpacking(t *testing.T, e *harness.Env, ctx context.Context, before harness.State) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	created := e.Docker(ctx, "create", "bomb", "/x")
	out := &bytes.Buffer{}
	created.Stdout, created.Stderr = out, out
	if err := created.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the image to be unpacked", func() error {
		if now := e.State(t); len(now.Snapshots) == len(before.Snapshots) {
			return errors.New("there are no new snapshots")
		}
		return nil
	})
	return created, out
}

// TestShutdownEndsOperations: a daemon that shuts down leaves nothing for its next
// start to clean up, whatever it was asked to do.
func TestShutdownEndsOperations(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	storedLayer(t, e, "bomb", ocispec.MediaTypeImageLayerZstd, zeroBomb(t, 512<<30), digest.FromString("never"))
	before := e.State(t)
	created, out := unpacking(t, e, t.Context(), before)
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := created.Wait(); err == nil {
		t.Errorf("docker create: %s", out)
	}
	leases, err := e.Client.LeasesService().List(e.Context(t), `labels."io.baleen.operation"`)
	if err != nil || len(leases) > 0 {
		t.Errorf("the daemon has ended and left %v, %v", leases, err)
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Settled(t, before)
}
