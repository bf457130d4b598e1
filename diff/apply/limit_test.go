package apply_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

// TestApplyDoesNotReadHoles unpacks what GNU tar makes of a file of 15 TiB that has
// some bytes at its beginning, in the middle and near its end.
func TestApplyDoesNotReadHoles(t *testing.T) {
	difftest.NeedRoot(t)
	const size = 15 * difftest.Tebibyte
	places := []int64{0, 7*difftest.Tebibyte + 12345, size - 5000}
	dir := t.TempDir()
	path := filepath.Join(dir, "sparse")
	difftest.HoleFile(t, path, size)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	difftest.Do(t, err)
	for _, at := range places {
		_, err := f.WriteAt(fmt.Appendf(nil, "data at %d", at), at)
		difftest.Do(t, err)
	}
	difftest.Do(t, f.Close())
	for _, format := range [][]string{{"gnu"}, {"pax", "--sparse-version=0.0"}, {"pax", "--sparse-version=0.1"}, {"pax", "--sparse-version=1.0"}} {
		t.Run(strings.Join(format, " "), func(t *testing.T) {
			args := append([]string{"--numeric-owner", "-C", dir, "-b1", "-Scf", "-", "--format=" + format[0]}, format[1:]...)
			layer, err := exec.Command("tar", append(args, "sparse")...).Output()
			difftest.Do(t, err)
			layer = append(layer[:len(layer)-1024], difftest.LayerOf(t, difftest.Reg("next", "behind it"))...)

			_, _, err = apply.ToDir(difftest.Soon(t), bytes.NewReader(layer), t.TempDir(), apply.Options{})
			if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), `entry "sparse": a file of 16492674416640 bytes`) {
				t.Errorf("by default: %v", err)
			}
			to := t.TempDir()
			_, _, err = apply.ToDir(difftest.Soon(t), bytes.NewReader(layer), to, apply.Options{Limit: diff.Limit{Bytes: 16 * difftest.Tebibyte}})
			difftest.Do(t, err)
			got, err := os.Open(filepath.Join(to, "sparse"))
			difftest.Do(t, err)
			defer got.Close()
			var st unix.Stat_t
			difftest.Do(t, unix.Fstat(int(got.Fd()), &st))
			if st.Size != size || st.Blocks > 1024 {
				t.Errorf("it has %d bytes, %d blocks", st.Size, st.Blocks)
			}
			for _, at := range places {
				want := fmt.Appendf(nil, "data at %d\x00", at)
				text := make([]byte, len(want))
				if _, err := got.ReadAt(text, at); err != nil || !bytes.Equal(text, want) {
					t.Errorf("at %d there is %q, %v", at, text, err)
				}
			}
			if next, err := os.ReadFile(filepath.Join(to, "next")); err != nil || string(next) != "behind it" {
				t.Errorf("behind it is %q, %v", next, err)
			}
		})
	}
}

// TestApplyCopiesNoHolesUp: a hard link to a file of a layer below copies it.
func TestApplyCopiesNoHolesUp(t *testing.T) {
	difftest.NeedRoot(t)
	lower, upper := t.TempDir(), t.TempDir()
	difftest.HoleFile(t, filepath.Join(lower, "low"), 8*difftest.Tebibyte)
	f, err := os.OpenFile(filepath.Join(lower, "low"), os.O_WRONLY, 0)
	difftest.Do(t, err)
	_, err = f.WriteAt([]byte("deep"), 5*difftest.Tebibyte)
	difftest.Do(t, err, f.Close())
	layer := difftest.LayerOf(t, difftest.Hardlink("link", "low"))
	opts := apply.Options{Overlay: true, Lowers: []string{lower}}
	if _, _, err := apply.ToDir(difftest.Soon(t), bytes.NewReader(layer), upper, opts); !errors.Is(err, diff.ErrOverLimit) {
		t.Errorf("by default: %v", err)
	}
	upper, opts.Limit = t.TempDir(), diff.Limit{Bytes: 9 * difftest.Tebibyte}
	_, _, err = apply.ToDir(difftest.Soon(t), bytes.NewReader(layer), upper, opts)
	difftest.Do(t, err)
	got, err := os.Open(filepath.Join(upper, "link"))
	difftest.Do(t, err)
	defer got.Close()
	text := make([]byte, 4)
	if _, err := got.ReadAt(text, 5*difftest.Tebibyte); err != nil || string(text) != "deep" {
		t.Errorf("it holds %q, %v", text, err)
	}
	if st, err := got.Stat(); err != nil || st.Size() != 8*difftest.Tebibyte {
		t.Errorf("it is %v, %v", st, err)
	}
}

// oldSparse is the layer of one sparse file, without data, in GNU's old format, which
// archive/tar does not write.
func oldSparse(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	difftest.Do(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "sparse", Mode: 0o644, Format: tar.FormatGNU, ModTime: time.Unix(1, 0)}), w.Close())
	block := b.Bytes()[:512]
	block[156] = tar.TypeGNUSparse
	copy(block[386:], "00000000000\x0000000000000\x00")
	block[483] = 0x80 // a binary number follows
	binary.BigEndian.PutUint64(block[487:], uint64(size))
	checksum(block)
	return b.Bytes()
}

// checksum makes a header valid that has been edited.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// TestApplyRefusesWhatNoFileSystemHolds: 4 EiB in 1.5 kB. It must end, whatever is
// allowed.
func TestApplyRefusesWhatNoFileSystemHolds(t *testing.T) {
	layer := oldSparse(t, 1<<62)
	for _, c := range []struct {
		limit diff.Limit
		want  func(error) bool
	}{
		{diff.Limit{}, func(err error) bool { return errors.Is(err, diff.ErrOverLimit) }},
		{diff.Limit{Bytes: math.MaxInt64}, func(err error) bool {
			// XFS and tmpfs hold it.
			return err == nil || errdefs.IsInvalidArgument(err) && errors.Is(err, unix.EFBIG) && strings.Contains(err.Error(), "4611686018427387904")
		}},
	} {
		_, _, err := apply.ToDir(difftest.Soon(t), bytes.NewReader(layer), t.TempDir(), apply.Options{Limit: c.limit})
		if !c.want(err) {
			t.Errorf("limit %d: %v", c.limit.Bytes, err)
		}
	}
	// So many of them as are too large together.
	half := oldSparse(t, 600<<30)[:512]
	two := append(append(bytes.Clone(half), half...), make([]byte, 1024)...)
	if _, _, err := apply.ToDir(difftest.Soon(t), bytes.NewReader(two), t.TempDir(), apply.Options{}); !errors.Is(err, diff.ErrOverLimit) {
		t.Errorf("two of 600 GiB: %v", err)
	}
}

// TestApplyBoundsWhatIsDecompressed: a stream counts as a whole, not only what it says
// of its files.
func TestApplyBoundsWhatIsDecompressed(t *testing.T) {
	limit := diff.Limit{Bytes: 8 << 20, Allow: "ask the cook"}
	long := difftest.Reg("a", "a")
	long.PAXRecords = map[string]string{"COOK.letter": strings.Repeat("a", 62<<10)}
	for name, stream := range map[string][]byte{
		"a large file":            difftest.LayerOf(t, difftest.Reg("large", strings.Repeat("\x00", 9<<20))),
		"zeros behind the layer":  append(difftest.LayerOf(t, difftest.Reg("a", "a")), make([]byte, 9<<20)...),
		"many entries":            bytes.Repeat(difftest.LayerOf(t, difftest.Reg("a", "a"))[:1024], 9<<10),
		"entries of long headers": bytes.Repeat(difftest.LayerOf(t, long)[:64<<10], 200),
	} {
		for _, c := range difftest.AllCompressions {
			packed := difftest.Pack(t, c, stream, 1<<20)
			_, _, err := apply.ToDir(t.Context(), bytes.NewReader(packed), t.TempDir(), apply.Options{Limit: limit})
			if !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), "8388608") || !strings.Contains(err.Error(), limit.Allow) {
				t.Errorf("%s, %s: %v", name, c, err)
			}
		}
	}
}

// TestApplyRefusesOverlongHeaders: what the kernel or archive/tar has no room for is
// the layer's fault, and the error says where.
func TestApplyRefusesOverlongHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		entry difftest.Member
		says  string
	}{
		"records of more than 1 MiB": {difftest.Reg("f", "").With("user.a", strings.Repeat("a", 1<<20)), "more than 1 MiB"},
		"a value of more than 64 KiB": {difftest.Reg("f", "").With("user.a", strings.Repeat("a", 64<<10+1)),
			`entry "f": attribute "user.a" of 65537 bytes`},
		"an attribute's long name": {difftest.Reg("f", "").With("user."+strings.Repeat("n", 251), ""), `entry "f": attribute "user.n`},
		"a long name":              {difftest.Reg("d/"+strings.Repeat("n", 256), ""), `entry "d/n`},
		"a long path":              {difftest.Reg(strings.Repeat("d/", 2100)+"f", ""), "4201 bytes"},
		"a long symbolic link":     {difftest.Symlink("l", strings.Repeat("d/", 2100)), `entry "l"`},
		"a long hard link":         {difftest.Hardlink("l", strings.Repeat("d/", 2100)), `entry "l"`},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&c.entry.Header)
		if errors.Is(err, tar.ErrFieldTooLong) {
			b = overlongRecords(t)
		} else {
			difftest.Do(t, err)
		}
		_, _, err = apply.ToDir(t.Context(), &b, t.TempDir(), apply.Options{})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %.1000v", name, err)
		}
	}
}

// TestApplyBoundsEntries: each may cost memory until the end, and each deletion looks
// at all that is there.
func TestApplyBoundsEntries(t *testing.T) {
	limit := diff.Limit{Entries: 50, Allow: "ask the carpenter"}
	var files, marks, more []difftest.Member
	for i := range 40 {
		files = append(files, difftest.Reg(fmt.Sprint("d/", i), ""))
		more = append(more, difftest.Reg(fmt.Sprint("m/", i), ""), difftest.Reg(fmt.Sprint("n/", i), ""))
	}
	for range 8 {
		marks = append(marks, difftest.Reg("d/.wh..wh..opq", ""))
	}
	lower := t.TempDir()
	for _, f := range more {
		difftest.Do(t, os.MkdirAll(filepath.Join(lower, f.Name), 0o755))
	}
	for name, c := range map[string]struct {
		layer []difftest.Member
		opts  apply.Options
		says  string
	}{
		"files":              {more, apply.Options{}, "more than 50 entries"},
		"one mark":           {append(files, marks[0]), apply.Options{}, ""},
		"marks again":        {append(files, marks...), apply.Options{}, "more than 200 files"},
		"a deletion, often":  {append(files, slices.Repeat([]difftest.Member{difftest.Reg(".wh.d", "")}, 8)...), apply.Options{}, "more than 200 files"},
		"of the root, often": {slices.Repeat([]difftest.Member{difftest.Reg(".wh..wh..opq", "")}, 50), apply.Options{Overlay: true, Lowers: []string{lower + "/m"}}, "more than 200 files"},
	} {
		c.opts.Limit = limit
		_, _, err := apply.ToDir(t.Context(), bytes.NewReader(difftest.LayerOf(t, c.layer...)), t.TempDir(), c.opts)
		switch {
		case c.says == "" && err == nil:
		case c.says == "" || !errors.Is(err, diff.ErrOverLimit) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), limit.Allow):
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	for i := range 51 {
		difftest.Do(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644))
	}
	if _, err := tarlayer.Write(t.Context(), io.Discard, dir, tarlayer.Options{Limit: limit}); !errors.Is(err, diff.ErrOverLimit) {
		t.Errorf("writing: %v", err)
	}
}

// overlongRecords is a layer with more PAX records than archive/tar writes or reads.
func overlongRecords(t *testing.T) (b bytes.Buffer) {
	t.Helper()
	w := tar.NewWriter(&b)
	record := "1048600 SCHILY.xattr.user.a="
	record += strings.Repeat("a", 1048600-len(record)-1) + "\n"
	difftest.Do(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders.0/f", Size: int64(len(record)), Mode: 0o644}))
	_, err := io.WriteString(w, record)
	difftest.Do(t, err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644}), w.Close())
	block := b.Bytes()[:512]
	block[156] = tar.TypeXHeader
	checksum(block)
	return b
}
