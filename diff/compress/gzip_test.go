package compress_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/difftest"
)

// TestGzipGivesTheBytesOfEarlierLayers: what the same files were packed to before has
// the same digest still, and need not be stored or sent again. The sums are of
// github.com/klauspost/pgzip 1.2.6 with blocks of 1 MiB.
func TestGzipGivesTheBytesOfEarlierLayers(t *testing.T) {
	holed := append(make([]byte, 3<<20+70), difftest.Mixed(5<<20)...) // blocks of zeros, in a row
	for want, c := range map[string]struct {
		level int
		data  []byte
	}{
		"5056f057a3db1a5d162027040c57ea09d087dee3cda8ba2d42d0f556b7e7f007": {1, nil},
		"120a2fd1f9313015e38d315145ed0a2d83aede2e2da081af8f8de9f4c2e62d83": {6, difftest.Mixed(1)},
		"a45f3a0bb3243819d6f31fad590306ecb6cb67e2bcce7b330f63a86b20badb8d": {6, difftest.Mixed(1 << 20)},
		"21461e1e427041d6bd44d408a66c6229793337a9d3beb97d6969494db0b8fa3d": {1, difftest.Mixed(9<<20 + 345)},
		"38d259c544599291a835d6cbca1ea3b46da96d31abaae4f83621ada6c0798b53": {1, holed},
		"acdbddc221bb5c47208162d624d2490126ff438b706c72747340ff2fd9c98fac": {6, holed},
	} {
		packed := difftest.Pack(t, compress.Method{Kind: compress.Gzip, Level: c.level}, c.data, 100_000)
		if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != want {
			t.Errorf("level %d of %d bytes gives %x, want %s", c.level, len(c.data), sum, want)
		}
	}
}

// TestNoLevelIsSlowWithRuns: what a container holds does not make its packing hundreds
// of times as slow.
func TestNoLevelIsSlowWithRuns(t *testing.T) {
	for level := 1; level <= 9; level++ {
		for _, data := range [][]byte{bytes.Repeat([]byte("x"), 8<<20), append([]byte("header"), make([]byte, 1<<20-6)...)} {
			began := time.Now()
			difftest.Pack(t, compress.Method{Kind: compress.Gzip, Level: level}, data, 1<<20)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("gzip:%d takes %v for %d bytes", level, took, len(data))
			}
		}
	}
}

// TestZerosAreCompressedOnce: a hole of any length comes back.
func TestZerosAreCompressedOnce(t *testing.T) {
	for _, size := range []int{1 << 20, 2<<20 - 1, 2 << 20, 2<<20 + 1, 5<<20 + 7} {
		for _, data := range [][]byte{make([]byte, size), append([]byte("x"), make([]byte, size)...), append(make([]byte, size), 'x')} {
			for _, level := range []int{1, 9} {
				c := compress.Method{Kind: compress.Gzip, Level: level}
				if got := difftest.Unpack(t, c, difftest.Pack(t, c, data, 300_000)); !bytes.Equal(got, data) {
					t.Error(fmt.Sprint(size, " zeros do not come back at level ", level))
				}
			}
		}
	}
}
