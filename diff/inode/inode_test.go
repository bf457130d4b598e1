package inode_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/inode"
)

// temporary makes a folder for temporary files, which must have no name afterwards.
func temporary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	})
}

// open counts the descriptors of the process.
func open(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	do(t, err)
	return len(fds)
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestTable compares a table with a map, over what it holds in memory: files come, change
// and go.
func TestTable(t *testing.T) {
	for _, tc := range []struct {
		name         string
		files, steps int
	}{
		{"in memory", 1_000, 50_000},
		{"in a file", 150_000, 200_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			temporary(t)
			before := open(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var table inode.Table
			want := map[inode.ID]inode.Value{}
			for range tc.steps {
				id := inode.ID{Dev: 1 + r.Uint64N(2), Ino: r.Uint64N(uint64(tc.files)) << r.IntN(2)}
				had, err := table.Get(id)
				if err != nil || had != want[id] {
					t.Fatalf("%v has %v, want %v, %v", id, had, want[id], err)
				}
				v := inode.Value{r.Uint64N(3), r.Uint64N(2)}
				do(t, table.Set(id, v))
				want[id] = v
			}
			told := 0
			do(t, table.Each(func(id inode.ID, v inode.Value) error {
				if told++; want[id] != v {
					return fmt.Errorf("%v has %v, want %v", id, v, want[id])
				}
				return nil
			}))
			for id, v := range want {
				got, err := table.Get(id)
				if err != nil || got != v {
					t.Fatalf("%v has %v, want %v, %v", id, got, v, err)
				}
				if v != (inode.Value{}) {
					told--
				}
			}
			if told != 0 {
				t.Errorf("%d more files were told than there are", told)
			}
			do(t, table.Close())
			if now := open(t); now != before {
				t.Errorf("%d files are open, %d before", now, before)
			}
		})
	}
}

// TestTableFollowsWhatIsLeft: files that went take no room for good.
func TestTableFollowsWhatIsLeft(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere") // it stays in memory
	var table inode.Table
	for i := range uint64(400_000) {
		id := inode.ID{Dev: 1, Ino: i}
		do(t, table.Set(id, inode.Value{1}), table.Set(id, inode.Value{}))
	}
	do(t, table.Close())
}

// TestLinks: files of two names take little memory, however many and whatever their
// paths. Those here would take 64 MB.
func TestLinks(t *testing.T) {
	temporary(t)
	const files, bound = 200_000, 10 << 20
	before, idle := open(t), inUse()
	var links inode.Links
	name := func(i int) string { return fmt.Sprintf("%0240d", i) }
	stat := func(i int) *unix.Stat_t { return &unix.Stat_t{Dev: 1, Ino: uint64(i), Nlink: 2} }
	var dir inode.Ref
	for i := range files {
		if i%1000 == 0 {
			var err error
			dir, err = links.Dir(0, name(i/1000))
			do(t, err)
		}
		first, err := links.Meet(stat(i))
		if err != nil || first != 0 {
			t.Fatalf("file %d is known as %d, %v", i, first, err)
		}
		do(t, links.Add(stat(i), dir, name(i)))
	}
	if grown := max(inUse(), idle) - idle; grown > bound {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	for i := range files {
		first, err := links.Meet(stat(i))
		do(t, err)
		if got, err := links.Path(first); err != nil || got != name(i/1000)+"/"+name(i) {
			t.Fatalf("file %d is known as %q, %v", i, got, err)
		}
		if first, err := links.Meet(stat(i)); err != nil || first != 0 {
			t.Fatalf("file %d has a third name, %v", i, err)
		}
	}
	do(t, links.Close())
	if now := open(t); now != before {
		t.Errorf("%d files are open, %d before", now, before)
	}
}

// TestNamesOfAnyDepth: pieces of a path are as long as a system call takes, and all
// together they are the path.
func TestNamesOfAnyDepth(t *testing.T) {
	for _, length := range []int{1, 100, 255} {
		var names inode.Names
		var want []string
		var dir inode.Ref
		for level := range 5000 {
			name := strings.Repeat(string(rune('a'+level%26)), length)
			want = append(want, name)
			var err error
			dir, err = names.Dir(dir, name)
			do(t, err)
		}
		file, err := names.Name(dir, strings.Repeat("f", 255))
		do(t, err)
		want = append(want, strings.Repeat("f", 255))
		pieces, err := names.Pieces(file)
		do(t, err)
		for _, piece := range pieces {
			if len(piece) >= unix.PathMax {
				t.Errorf("a piece has %d bytes", len(piece))
			}
		}
		if got := strings.Join(pieces, "/"); got != strings.Join(want, "/") {
			t.Errorf("names of %d bytes give %d bytes in %d pieces", length, len(got), len(pieces))
		}
		if most := 2 + 5000*(length+1)/(4096-2*256); len(pieces) > most {
			t.Errorf("names of %d bytes are in %d pieces, want up to %d", length, len(pieces), most)
		}
		if path, err := names.Path(0); err != nil || path != "" {
			t.Errorf("the root is %q, %v", path, err)
		}
		do(t, names.Close())
	}
}

// TestNoRoomForTemporaryFiles: the error tells it, is none about a file of a container,
// and nothing is left.
func TestNoRoomForTemporaryFiles(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	before := open(t)
	var links inode.Links
	var err error
	for i := uint64(1); err == nil && i < 1_000_000; i++ {
		err = links.Add(&unix.Stat_t{Dev: 1, Ino: i, Nlink: 2}, 0, "name")
	}
	if !errdefs.IsInternal(err) || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "names of files") || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v", err)
	}
	do(t, links.Close())
	if now := open(t); now != before {
		t.Errorf("%d files are open, %d before", now, before)
	}
}
