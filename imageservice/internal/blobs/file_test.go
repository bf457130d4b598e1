package blobs_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/imageservice/internal/blobs"
)

// newFile makes a file, which is closed at the end of the test.
func newFile(t *testing.T, folder string) blobs.File {
	t.Helper()
	f, err := blobs.NewFile(folder)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the file system has no files without a name: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// writeFile makes a whole file, in pieces of all sizes.
func writeFile(t *testing.T, folder string, blob []byte) blobs.File {
	t.Helper()
	f := newFile(t, folder)
	for from := 0; from < len(blob); {
		n := min(rand.IntN(2*blobs.Chunk), len(blob)-from)
		if _, err := f.Write(blob[from : from+n]); err != nil {
			t.Fatal(err)
		}
		from += n
	}
	if err := f.Finish(int64(len(blob))); err != nil {
		t.Fatal(err)
	}
	return f
}

func random(size int) []byte {
	blob := make([]byte, size)
	for i := range blob {
		blob[i] = byte(rand.Uint32())
	}
	return blob
}

// TestFile: a blob has a name only when it is whole, and a second one of the same bytes
// leaves the first where it is. With one processor nothing is written before somebody waits
// for it.
func TestFile(t *testing.T) {
	testFile(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	testFile(t)
}

func testFile(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, size := range []int{1, blobs.Chunk - 1, blobs.Chunk, 9*blobs.Chunk + 1} {
		blob := random(size)
		dgst := digest.FromBytes(blob)
		first, second := writeFile(t, folder, blob), writeFile(t, folder, blob)
		if _, err := os.Stat(filepath.Join(folder, dgst.Encoded())); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%d bytes: it has a name already: %v", size, err)
		}
		if err := errors.Join(first.Name(dgst), second.Name(dgst)); err != nil {
			t.Fatal(err)
		}
		if !first.HasName() || second.HasName() {
			t.Errorf("%d bytes: the first has a name: %v, and the second: %v", size, first.HasName(), second.HasName())
		}
		if got, err := os.ReadFile(filepath.Join(folder, dgst.Encoded())); err != nil || !bytes.Equal(got, blob) {
			t.Errorf("%d bytes: they are not what was written: %v", size, err)
		}
	}
}

// TestFileIsNotTheOneDescribed: a blob of another size than was said gets no name.
func TestFileIsNotTheOneDescribed(t *testing.T) {
	f := newFile(t, t.TempDir())
	if _, err := f.Write([]byte("blob")); err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(5); !errdefs.IsDataLoss(err) {
		t.Errorf("4 bytes are taken for 5: %v", err)
	}
}

// TestDamagedFile: a file that has the name of a blob, and another size, is not taken for
// the blob, and stays as it is.
func TestDamagedFile(t *testing.T) {
	folder, blob := t.TempDir(), random(4096)
	dgst := digest.FromBytes(blob)
	path := filepath.Join(folder, dgst.Encoded())
	if err := os.WriteFile(path, blob[:100], 0o444); err != nil {
		t.Fatal(err)
	}
	f := writeFile(t, folder, blob)
	if err := f.Name(dgst); !errdefs.IsDataLoss(err) {
		t.Errorf("a damaged file is taken for the blob: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || len(got) != 100 {
		t.Errorf("it has %d bytes: %v", len(got), err)
	}
}
