package apply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/integration/soak/scratch"
)

// fuzzYard is a yard that executions share. Its canaries are compared by all that
// the kernel keeps of them, with the time of the last change of an inode.
type fuzzYard struct {
	outside, target, lower, again string
	watched                       []string
}

func newFuzzYard(f *testing.F) *fuzzYard {
	f.Helper()
	outside := filepath.Join(scratch.Dir(f), "outside")
	y := &fuzzYard{
		outside: outside, target: filepath.Join(outside, "target"),
		lower: filepath.Join(outside, "lower"), again: filepath.Join(outside, "again"),
		watched: []string{outside, filepath.Join(outside, "dir"), filepath.Join(outside, "dir/file"), filepath.Join(outside, "secret")},
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(outside, "dir"), 0o755),
		os.WriteFile(filepath.Join(outside, "dir/file"), []byte("canary"), 0o600),
		os.WriteFile(filepath.Join(outside, "secret"), []byte("canary"), 0o600),
		os.MkdirAll(filepath.Join(y.lower, "a/b"), 0o755),
		os.WriteFile(filepath.Join(y.lower, "a/f"), []byte("lower"), 0o644),
		os.WriteFile(filepath.Join(y.lower, "gone"), []byte("lower"), 0o644),
		os.Symlink("../secret", filepath.Join(y.lower, "link")),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	y.watched = append(y.watched, y.lower, filepath.Join(y.lower, "a"), filepath.Join(y.lower, "a/f"), filepath.Join(y.lower, "gone"))
	return y
}

// run calls f with two empty folders, which it empties afterwards, and checks that
// nothing else has been touched, and nothing is left open.
func (y *fuzzYard) run(t *testing.T, f func(target, again string)) {
	t.Helper()
	for _, dir := range []string{y.target, y.again} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before, open := y.look(t), scratch.Descriptors(t)
	f(y.target, y.again)
	if now := scratch.Descriptors(t); now != open {
		t.Errorf("%d files are open that were not before", now-open)
	}
	for i, now := range y.look(t) {
		if now != before[i] {
			t.Errorf("%s was %+v and is %+v", y.watched[i], before[i], now)
		}
	}
	for _, dir := range []string{y.target, y.again} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func (y *fuzzYard) look(t *testing.T) []unix.Stat_t {
	t.Helper()
	all := make([]unix.Stat_t, len(y.watched))
	for i, name := range y.watched {
		if err := unix.Lstat(name, &all[i]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all[i].Atim = unix.Timespec{}
	}
	return all
}

// seedLayers are layers of few entries: a fuzzer gets along with small seeds.
func seedLayers(f *testing.F) (layers [][]byte) {
	f.Helper()
	for _, c := range stackCases {
		layers = append(layers, difftest.LayerOf(f, c.layer...))
	}
	for _, c := range hostileCases {
		if layer := difftest.LayerOf(f, c.members...); len(layer) < 8<<10 {
			layers = append(layers, layer)
		}
	}
	layers = append(layers,
		difftest.LayerOf(f, difftest.Symlink("l", ".."), difftest.Reg("l/secret", "x"), difftest.Hardlink("h", "l/secret"), difftest.Reg("l/.wh.secret", "")),
		difftest.LayerOf(f, difftest.Folder("d/").With("user.k", "v"), difftest.Reg("../dir/.wh.file", ""), difftest.Reg("d/../../secret", "x")),
	)
	for _, kind := range []string{compress.Gzip, compress.Zstd} {
		var packed bytes.Buffer
		w, err := compress.NewWriter(&packed, compress.Method{Kind: kind})
		if err == nil {
			_, err = w.Write(difftest.LayerOf(f, difftest.Reg("z", "z")))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			f.Fatal(err)
		}
		layers = append(layers, packed.Bytes())
	}
	return layers
}

// sum puts right checksums into all blocks that look like headers: what is
// changed in them would be refused for that alone.
func sum(layer []byte) {
	for ; len(layer) >= 512; layer = layer[512:] {
		if string(layer[257:262]) != "ustar" {
			continue
		}
		copy(layer[148:156], "        ")
		total := 0
		for _, b := range layer[:512] {
			total += int(b)
		}
		copy(layer[148:156], fmt.Sprintf("%06o\x00 ", total))
	}
}

// FuzzApply: nothing outside of the target is touched, and nothing left open,
// whatever a layer holds. What is unpacked into an upper is what a layer can
// hold: packed and unpacked again it gives the same bytes.
func FuzzApply(f *testing.F) {
	for _, layer := range seedLayers(f) {
		f.Add(layer, byte(0))
		f.Add(layer, byte(1))
	}
	y := newFuzzYard(f)
	f.Fuzz(func(t *testing.T, layer []byte, how byte) {
		if len(layer) > 64<<10 {
			return
		}
		layer = bytes.Clone(layer)
		sum(layer)
		// A layer may say of a sparse file that it is as long as it likes.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		opts := apply.Options{Overlay: how&1 != 0, Root: how&2 != 0, Over: how&5 == 5, UserXattr: how&8 != 0}
		if opts.Overlay {
			opts.Lowers = []string{y.lower}
		}
		y.run(t, func(target, again string) {
			id, stats, err := apply.ToDir(ctx, bytes.NewReader(layer), target, opts)
			if err != nil {
				checkClass(t, err)
				return
			}
			if stats.Bytes == int64(len(layer)) && id != digest.FromBytes(layer) {
				t.Errorf("the diffID is %s, not that of the %d bytes", id, len(layer))
			}
			if opts.Overlay {
				checkRepacked(t, ctx, target, again, opts)
			}
		})
	})
}

// checkClass fails the test for an error that neither says that the layer is
// wrong nor comes from the kernel.
func checkClass(t *testing.T, err error) {
	t.Helper()
	var kernel unix.Errno
	if !errdefs.IsInvalidArgument(err) && !errors.As(err, &kernel) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an error of no class: %v", err)
	}
}

func checkRepacked(t *testing.T, ctx context.Context, target, again string, opts apply.Options) {
	t.Helper()
	tarred := tarlayer.Options{UserXattr: opts.UserXattr}
	var first, second bytes.Buffer
	if _, err := tarlayer.Write(ctx, &first, target, tarred); err != nil {
		// An entry below a name that begins with .wh. makes a directory of that name,
		// as containerd's applier does. It cannot be packed again.
		if !errors.Is(err, diff.ErrReserved) {
			checkClass(t, err)
		}
		return
	}
	opts.Root, opts.Over, opts.Lowers = false, false, nil
	if _, _, err := apply.ToDir(ctx, bytes.NewReader(first.Bytes()), again, opts); err != nil {
		t.Errorf("apply what was packed: %v", err)
	} else if _, err := tarlayer.Write(ctx, &second, again, tarred); err != nil {
		t.Errorf("pack it again: %v", err)
	} else if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("packed again it has %d bytes in place of %d, or others", second.Len(), first.Len())
	}
}
