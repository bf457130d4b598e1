package tarlayer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
)

func TestWriteLayerTellsEverything(t *testing.T) {
	root := difftest.UpperTree(t)
	byName := map[string]*tar.Header{}
	var names []string
	for _, hdr := range difftest.Headers(t, difftest.WriteLayer(t, root, tarlayer.Options{Root: true})) {
		byName[hdr.Name] = hdr
		names = append(names, hdr.Name)
		if hdr.Uname != "" || hdr.Gname != "" || !hdr.AccessTime.IsZero() || !hdr.ChangeTime.IsZero() || hdr.ModTime.Nanosecond() != 0 {
			t.Errorf("%s: tells more than a layer should: %+v", hdr.Name, hdr)
		}
	}
	long := strings.Repeat("long/", 60) + strings.Repeat("n", 255)
	for name, check := range map[string]func(h *tar.Header) bool{
		"./":              func(h *tar.Header) bool { return h.Typeflag == tar.TypeDir && h.Mode == 0o755 },
		"dir/":            func(h *tar.Header) bool { return h.PAXRecords["SCHILY.xattr.system.posix_acl_default"] != "" },
		"dir/.wh.gone":    func(h *tar.Header) bool { return h.Typeflag == tar.TypeReg && h.Size == 0 && h.ModTime.Unix() == 0 },
		"dir/file":        func(h *tar.Header) bool { return h.Size == 18 && h.ModTime.Unix() == 1_500_000_000 },
		"dir/sub/same":    func(h *tar.Header) bool { return h.Typeflag == tar.TypeLink && h.Linkname == "dir/file" },
		"dir/link":        func(h *tar.Header) bool { return h.Typeflag == tar.TypeSymlink && h.Linkname == "../dir/file" },
		"longlink":        func(h *tar.Header) bool { return len(h.Linkname) == 300 },
		"opaque/":         func(h *tar.Header) bool { return h.Mode == 0o750 && len(h.PAXRecords) == 0 },
		"xattrs/.wh.gone": func(h *tar.Header) bool { return h.Size == 0 },
		"setuid": func(h *tar.Header) bool {
			return h.Mode == 0o6755 && h.Uid == 1000 && h.Gid == 4_000_000_000 &&
				h.PAXRecords["SCHILY.xattr.security.capability"] == string(difftest.FileCapability) &&
				h.PAXRecords["SCHILY.xattr.user.bytes"] == "\x00\xff=\n"
		},
		// Who applies this sets its owner, so it has to tell the capability too.
		"zz": func(h *tar.Header) bool {
			return h.Typeflag == tar.TypeLink && h.Mode == 0o6755 && h.PAXRecords["SCHILY.xattr.security.capability"] == string(difftest.FileCapability)
		},
		"fifo":            func(h *tar.Header) bool { return h.Typeflag == tar.TypeFifo },
		"null":            func(h *tar.Header) bool { return h.Typeflag == tar.TypeChar && h.Devmajor == 1 && h.Devminor == 3 },
		"loop":            func(h *tar.Header) bool { return h.Typeflag == tar.TypeBlock && h.Devminor == 1_000_000 },
		"sparse":          func(h *tar.Header) bool { return h.Size == 8<<20 },
		"old":             func(h *tar.Header) bool { return h.ModTime.Unix() == -1000 },
		"future":          func(h *tar.Header) bool { return h.ModTime.Unix() == 1<<33 },
		"not\xffutf8":     func(h *tar.Header) bool { return true },
		"ünicode \n name": func(h *tar.Header) bool { return true },
		long:              func(h *tar.Header) bool { return true },
	} {
		if h := byName[name]; h == nil || !check(h) {
			t.Errorf("entry %q is %+v", name, h)
		}
	}
	all := strings.Join(names, "\n")
	for _, order := range []string{"./\ndir/\ndir/file\n", "opaque/\nopaque/.wh..wh..opq\nopaque/new\n", "dir/file\ndir/.wh.gone\ndir/link\ndir/sub/\ndir/sub/same\nfifo\n"} {
		if !strings.Contains(all, order) {
			t.Errorf("names do not have the order %q:\n%s", order, all)
		}
	}
	if strings.Contains(all, "socket") || strings.Contains(all, "xattrs/.wh..wh..opq") {
		t.Errorf("too many names:\n%s", all)
	}
}

func TestWriteLayerIsStable(t *testing.T) {
	root := difftest.UpperTree(t)
	if !bytes.Equal(difftest.WriteLayer(t, root, tarlayer.Options{}), difftest.WriteLayer(t, root, tarlayer.Options{})) {
		t.Error("the same tree gave different bytes")
	}
}

func TestWriteLayerOfAUserXattrOverlay(t *testing.T) {
	root := t.TempDir()
	difftest.NeedRoot(t)
	difftest.Do(t,
		os.Mkdir(filepath.Join(root, "d"), 0o755),
		unix.Setxattr(filepath.Join(root, "d"), "user.overlay.opaque", []byte("y"), 0),
		os.Mkdir(filepath.Join(root, "e"), 0o755),
		unix.Setxattr(filepath.Join(root, "e"), "trusted.overlay.opaque", []byte("y"), 0),
	)
	var names []string
	for _, hdr := range difftest.Headers(t, difftest.WriteLayer(t, root, tarlayer.Options{UserXattr: true})) {
		names = append(names, hdr.Name)
		if len(hdr.PAXRecords) > 0 {
			t.Errorf("%s carries %v", hdr.Name, hdr.PAXRecords)
		}
	}
	if got, want := strings.Join(names, " "), "d/ d/.wh..wh..opq e/"; got != want {
		t.Errorf("entries are %s, want %s", got, want)
	}
}

func TestWriteLayerMapsIDs(t *testing.T) {
	difftest.NeedRoot(t)
	root := t.TempDir()
	name := filepath.Join(root, "f")
	difftest.Do(t, os.WriteFile(name, nil, 0o644), os.Chown(name, 100_005, 100_006), unix.Setxattr(name, "system.posix_acl_access", difftest.AclOf(200), 0))
	shift := func(id uint32, _ idmap.Kind) (uint32, error) {
		if id >= 100_000 {
			id -= 100_000
		}
		return id % 190, nil
	}
	hdr := difftest.Headers(t, difftest.WriteLayer(t, root, tarlayer.Options{MapIDs: shift}))[0]
	if hdr.Uid != 5 || hdr.Gid != 6 || hdr.PAXRecords["SCHILY.xattr.system.posix_acl_access"] != string(difftest.AclOf(10)) {
		t.Errorf("ids are not mapped: %+v", hdr)
	}
	fail := func(uint32, idmap.Kind) (uint32, error) { return 0, errors.New("no such id") }
	if _, err := tarlayer.Write(t.Context(), io.Discard, root, tarlayer.Options{MapIDs: fail}); err == nil || !strings.Contains(err.Error(), "no such id") {
		t.Errorf("an id without mapping gave %v", err)
	}
}

func TestWriteLayerRefusesWhatALayerCannotHold(t *testing.T) {
	difftest.NeedRoot(t)
	for name, c := range map[string]struct {
		make func(file string) error
		want error
	}{
		"a reserved name":      {func(f string) error { return os.WriteFile(filepath.Join(f, "..", ".wh.x"), nil, 0o644) }, diff.ErrReserved},
		"a reserved directory": {func(f string) error { return os.Mkdir(filepath.Join(f, "..", ".wh..wh..opq"), 0o755) }, diff.ErrReserved},
		"metadata alone":       {func(f string) error { return unix.Setxattr(f, "trusted.overlay.metacopy", nil, 0) }, diff.ErrUnsupported},
		"a renamed directory": {func(f string) error {
			return unix.Setxattr(filepath.Dir(f), "trusted.overlay.redirect", []byte("/x"), 0)
		}, diff.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "d", "file")
			difftest.Do(t, os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), c.make(file))
			_, err := tarlayer.Write(t.Context(), io.Discard, filepath.Dir(filepath.Dir(file)), tarlayer.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "d") {
				t.Errorf("got %v, want %v with the path", err, c.want)
			}
		})
	}
}

// TestWriteLayerNoticesWriters changes a file behind its header: that is when
// its owner is mapped. What only takes its name away leaves it whole.
func TestWriteLayerNoticesWriters(t *testing.T) {
	size := int64(3 << 20)
	content := bytes.Repeat([]byte("x"), int(size))
	for name, c := range map[string]struct {
		change func(f string) error
		want   error
	}{
		"shorter":           {func(f string) error { return os.Truncate(f, size/2) }, diff.ErrChanged},
		"empty":             {func(f string) error { return os.Truncate(f, 0) }, diff.ErrChanged},
		"longer":            {func(f string) error { return os.Truncate(f, size+1) }, diff.ErrChanged},
		"rewritten":         {func(f string) error { return os.WriteFile(f, make([]byte, size), 0o644) }, diff.ErrChanged},
		"shorter by a byte": {func(f string) error { return os.Truncate(f, size-1) }, diff.ErrChanged},
		"gone":              {os.Remove, nil},
		"a link":            {func(f string) error { return errors.Join(os.Remove(f), os.Symlink("/etc/passwd", f)) }, nil},
		"a FIFO":            {func(f string) error { return errors.Join(os.Remove(f), unix.Mkfifo(f, 0o600)) }, nil},
		"in a new place":    {func(f string) error { return errors.Join(os.Rename(f, f+"2"), os.WriteFile(f, nil, 0o600)) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, "file")
			difftest.Do(t, os.WriteFile(file, content, 0o644))
			changed := false
			hook := func(id uint32, _ idmap.Kind) (uint32, error) {
				if changed {
					return id, nil
				}
				changed = true
				return id, c.change(file)
			}
			var layer bytes.Buffer
			_, err := tarlayer.Write(t.Context(), &layer, root, tarlayer.Options{MapIDs: hook})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil && !bytes.Contains(layer.Bytes(), content) {
				t.Error("the layer does not hold the file as it was")
			}
		})
	}
}

func TestWriteLayerStopsWithItsContextOrWriter(t *testing.T) {
	root := t.TempDir()
	difftest.Do(t, os.WriteFile(filepath.Join(root, "f"), make([]byte, 4<<20), 0o644))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tarlayer.Write(ctx, io.Discard, root, tarlayer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := tarlayer.Write(t.Context(), &difftest.LimitedWriter{N: 2 << 20}, root, tarlayer.Options{}); !errors.Is(err, difftest.ErrFull) {
		t.Errorf("writer full: %v", err)
	}
	if _, err := tarlayer.Write(t.Context(), io.Discard, filepath.Join(root, "f"), tarlayer.Options{}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("not a directory: %v", err)
	}
}

func TestWriteLayerIsReadByGNUTar(t *testing.T) {
	root := difftest.UpperTree(t)
	path := filepath.Join(t.TempDir(), "layer.tar")
	layer := difftest.WriteLayer(t, root, tarlayer.Options{})
	difftest.Do(t, os.WriteFile(path, layer, 0o644))
	out, err := exec.Command("tar", "--quoting-style=literal", "-tvf", path).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	for _, want := range []string{"setuid", "-rwsr-sr-x 1000/4000000000", "dir/sub/same link to dir/file", "brw-r----- 0/0       7,1000000"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("tar does not tell %q", want)
		}
	}
	if bytes.Contains(out, []byte("tar: ")) {
		t.Errorf("tar complains:\n%s", out)
	}
}

// peakHeap counts what is written and notes how large the heap gets.
type peakHeap struct{ n, next, peak uint64 }

func (p *peakHeap) Write(b []byte) (int, error) {
	if p.n += uint64(len(b)); p.n >= p.next {
		p.next = p.n + 8<<20
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.peak = max(p.peak, m.HeapAlloc)
	}
	return len(b), nil
}

func TestWriteLayerOfManyNamesTakesLittleMemory(t *testing.T) {
	root := t.TempDir()
	order := rand.New(rand.NewSource(1)).Perm(20_000)
	for _, i := range order {
		f, err := os.Create(fmt.Sprintf("%s/a-name-of-some-length-%07d", root, i))
		difftest.Do(t, err, f.Close())
	}
	deep := root + strings.Repeat("/deep", 100)
	difftest.Do(t, os.MkdirAll(deep, 0o755), os.WriteFile(deep+"/f", nil, 0o644))

	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	heap := &peakHeap{}
	stats, err := tarlayer.Write(t.Context(), heap, root, tarlayer.Options{})
	difftest.Do(t, err)
	if stats.Entries != 20_101 {
		t.Errorf("%d entries", stats.Entries)
	}
	if grown := int64(heap.peak) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}
