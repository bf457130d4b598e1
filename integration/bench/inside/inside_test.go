package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree returns names and contents of the regular files below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFillFollowsTheSeed(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"random", "text"} {
		var trees []map[string]string
		for _, seed := range []string{"1", "1", "2"} {
			dir := t.TempDir()
			if err := run([]string{verb, dir, "150", "1500000", seed}); err != nil {
				t.Fatal(err)
			}
			trees = append(trees, tree(t, dir))
		}
		first := trees[0]["001/000100"]
		if len(trees[0]) != 150 || len(first) != 10_000 {
			t.Errorf("%s made %d files, one of %d bytes", verb, len(trees[0]), len(first))
		}
		if first != trees[1]["001/000100"] || first == trees[2]["001/000100"] || first == trees[0]["001/000101"] {
			t.Errorf("%s: contents do not follow from the seed", verb)
		}
	}
}

func TestTextIsLikeText(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	var packed bytes.Buffer
	out := gzip.NewWriter(&packed)
	if _, err := io.CopyN(out, text(1), size); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if ratio := float64(packed.Len()) / size; ratio < 0.2 || ratio > 0.5 {
		t.Errorf("gzip brings it to %.2f", ratio)
	}
}

func TestPruneDeletesAndRenames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := run([]string{"text", dir, "1000", "1000000", "1"}); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if err := run([]string{"prune", dir, "20", "2", "3", "7"}); err != nil {
		t.Fatal(err)
	}
	after := tree(t, dir)
	if len(after) != 1000-200-20 {
		t.Errorf("%d files are left", len(after))
	}
	if after["renamed-7-1/000100"] != before["001/000100"] || before["001/000100"] == "" {
		t.Error("the second folder was not renamed")
	}
	if err := run([]string{"prune", dir, "1", "20", "1", "7"}); err == nil {
		t.Error("more folders deleted than there are")
	}
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	for _, name := range []string{"a/b/c", "d"} {
		err := errors.Join(out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name))}))
		if _, werr := out.Write([]byte(name)); err != nil || werr != nil {
			t.Fatal(err, werr)
		}
	}
	if err := errors.Join(out.Close(), os.WriteFile(dir+"/x.tar", archive.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"unpack", dir + "/x.tar", dir + "/out", "5"}); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir+"/out")
	if got["a/b/c"] != "a/b/c" || got["d"] != "d" || got["seed"] != "5\n" || len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestWatcherNotesAStop(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	w := &watcher{began: time.Now()}
	go w.serve(listener)
	ask := func(what string) time.Duration {
		t.Helper()
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, what+"\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		gap, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(gap)
	}
	// Nobody samples yet: that is a pause that has not ended.
	time.Sleep(30 * time.Millisecond)
	if gap := ask("read"); gap < 30*time.Millisecond {
		t.Errorf("a pause that goes on is read as %v", gap)
	}
	go w.sample()
	time.Sleep(20 * time.Millisecond)
	if gap := ask("reset"); gap < 30*time.Millisecond {
		t.Errorf("the pause was forgotten: %v", gap)
	}
	if gap := ask("read"); gap > 25*time.Millisecond {
		t.Errorf("the reset has left %v", gap)
	}
}

func TestVerbsCheckTheirArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"swim"}, {"text", "/x", "1"}, {"random", "/x", "many", "1", "1"}, {"time"}, {"edit", "/x"}} {
		if err := run(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	if err := run([]string{"edit", "/proc/1/nothing", "1"}); !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
		t.Errorf("edit what cannot be: %v", err)
	}
}
