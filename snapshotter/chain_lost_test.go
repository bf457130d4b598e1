package snapshotter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/snapshotter"
)

// TestApplyLayersHearsOfLostData: a disk loses the data of a layer that waits for
// the one below it, and somebody else is told so. The layer must not become a
// snapshot all the same.
func TestApplyLayersHearsOfLostData(t *testing.T) {
	disk, fill, free := leakyDisk(t)
	sn, err := overlay.NewSnapshotter(filepath.Join(disk, "sn"))
	check(t, err)
	defer sn.Close()
	body := make([]byte, 8<<20)
	_, _ = rand.Read(body)
	b := chainOf(t, []string{"a=a"}, []string{"b=" + string(body)})
	extracted := make(chan struct{})
	fetch := func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
		if d.Digest == b.layers[1].Blob.Digest {
			fill()
			return &closing{bytes.NewReader(b.bytes[d.Digest]), extracted}, nil
		}
		select {
		case <-extracted:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := syncOther(disk); err == nil {
			t.Error("the disk has lost nothing")
		}
		free()
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

// syncOther is what the rest of the machine does all the time.
func syncOther(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// leakyDisk is a file system in a file that itself has no room for all that is
// written, from fill to free: writing back fails, long after write(2) succeeded.
func leakyDisk(t *testing.T) (dir string, fill, free func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("there is no mkfs.ext4")
	}
	memory, dir := t.TempDir(), t.TempDir()
	check(t, unix.Mount("tmpfs", memory, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { check(t, unix.Unmount(memory, 0)) })
	file, filler := filepath.Join(memory, "disk"), filepath.Join(memory, "filler")
	run := func(argv ...string) {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	run("truncate", "-s", "48m", file)
	run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0", file)
	run("mount", "-o", "loop,errors=continue", file, dir)
	t.Cleanup(func() { check(t, unix.Unmount(dir, 0)) })
	fill = func() {
		_ = syncOther(dir)
		f, err := os.Create(filler)
		check(t, err)
		for block := make([]byte, 1<<20); len(block) >= 4096; block = block[:len(block)/2] {
			for err = nil; err == nil; {
				_, err = f.Write(block)
			}
		}
		check(t, f.Close())
	}
	return dir, fill, func() { check(t, os.Remove(filler)) }
}
