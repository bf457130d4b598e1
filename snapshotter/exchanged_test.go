package snapshotter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// watchOpens returns a function that reports whether a file has been opened since,
// by whatever name.
func watchOpens(t *testing.T, path string) func() bool {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func() bool {
		_, err := unix.Read(fd, make([]byte, 4096))
		return !errors.Is(err, unix.EAGAIN)
	}
}

// specials are files that must not be opened. No driver has the device.
var specials = map[string]func(string) error{
	"FIFO":   func(path string) error { return unix.Mkfifo(path, 0o644) },
	"device": func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(240, 99))) },
}

func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// exchanger tells the changes of a container, and exchanges a regular file for
// something else just before it tells of it.
type exchanger struct {
	*changes.Container
	path, with string
}

func (e exchanger) Walk(ctx context.Context, f func(*changes.Change) error) (changes.WalkStats, error) {
	return e.Container.Walk(ctx, func(c *changes.Change) error {
		if c.Path == e.path && c.Type() == unix.S_IFREG {
			if err := exchange(filepath.Join(e.Uppers[0], e.path), e.with); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// TestFileThatIsExchangedForSomethingElse: what is a regular file when it is looked
// at, and is not when it is opened, is not opened, and is not sealed as an empty one.
func TestFileThatIsExchangedForSomethingElse(t *testing.T) {
	needRoot(t)
	for name, make := range specials {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			lower, upper, sealed := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "sealed", 0)
			file, special := filepath.Join(upper, "f"), filepath.Join(dir, "special")
			if err := errors.Join(os.WriteFile(file, []byte("content"), 0o644), make(special)); err != nil {
				t.Fatal(err)
			}
			opened := watchOpens(t, special)
			e := exchanger{&changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}, "f", special}
			if _, err := tarlayer.WriteChanges(t.Context(), io.Discard, e, tarlayer.Options{}); !errors.Is(err, diff.ErrChanged) || !strings.Contains(err.Error(), "f") {
				t.Errorf("the layer gave %v", err)
			}
			if err := exchange(file, special); err != nil {
				t.Fatal(err)
			}
			// The seal tries again, and finds what is there now.
			if _, err := snapshotter.Seal(t.Context(), e, sealed); err != nil {
				t.Errorf("the seal gave %v", err)
			}
			var st, want unix.Stat_t
			if err := errors.Join(unix.Lstat(filepath.Join(sealed, "f"), &st), unix.Lstat(file, &want)); err != nil {
				t.Fatal(err)
			}
			if st.Mode != want.Mode || st.Rdev != want.Rdev {
				t.Errorf("sealed is a file of mode %o, want %o", st.Mode, want.Mode)
			}
			if opened() {
				t.Errorf("the %s has been opened", name)
			}
		})
	}
}

// TestFilesThatAreExchangedAllTheTime has a program exchange regular files and
// special ones while they are read in all ways.
func TestFilesThatAreExchangedAllTheTime(t *testing.T) {
	needRoot(t)
	for name, make := range specials {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			lower, upper, other := makeDirs(t, dir, "lower", 0), makeDirs(t, dir, "upper", 0), makeDirs(t, dir, "other", 0)
			file, special := filepath.Join(upper, "f"), filepath.Join(dir, "special")
			content := bytes.Repeat([]byte("content"), 1000)
			err := errors.Join(os.WriteFile(file, content, 0o644), make(special))
			// What is alike in all but its content is compared.
			for _, tree := range []string{lower, other} {
				at := time.Unix(1_000_000_000, 0)
				twin := filepath.Join(tree, "f")
				err = errors.Join(err, os.WriteFile(twin, bytes.Repeat([]byte("contend"), 1000), 0o644), os.Chtimes(twin, at, at), os.Chtimes(file, at, at))
			}
			if err != nil {
				t.Fatal(err)
			}
			opened := watchOpens(t, special)
			end, ended := context.WithCancel(t.Context())
			exchanged := goExchange(end, file, special)
			c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Lowers: []string{lower}}}
			for round := range 100 {
				sealed := filepath.Join(dir, "sealed")
				if err := os.Mkdir(sealed, 0o755); err != nil {
					t.Fatal(err)
				}
				_, err := snapshotter.Seal(t.Context(), c, sealed)
				settledOrChanged(t, "a seal", err)
				text, readErr := sealedFile(filepath.Join(sealed, "f"))
				if err == nil && (readErr != nil || text != nil && !bytes.Equal(text, content)) {
					t.Errorf("sealed are %d bytes, %v", len(text), readErr)
				}
				if err := os.RemoveAll(sealed); err != nil {
					t.Fatal(err)
				}
				_, err = tarlayer.Write(t.Context(), io.Discard, upper, tarlayer.Options{})
				settledOrChanged(t, "a layer", err)
				_, err = tarlayer.WriteChanges(t.Context(), io.Discard, c, tarlayer.Options{})
				settledOrChanged(t, "a layer of changes", err)
				err = compare.Trees(t.Context(), upper, other, compare.Options{})
				if different := (*compare.TreeDifference)(nil); !errors.As(err, &different) {
					settledOrChanged(t, "a comparison", err)
				}
				if opened() {
					t.Errorf("the %s has been opened in round %d", name, round)
				}
				if t.Failed() {
					break
				}
			}
			ended()
			if times, err := exchanged(); err != nil || times < 1000 {
				t.Errorf("the files were exchanged %d times, %v", times, err)
			}
		})
	}
}

// goExchange exchanges two files until the context ends.
func goExchange(ctx context.Context, a, b string) (wait func() (int, error)) {
	var (
		times int
		err   error
		done  = make(chan struct{})
	)
	go func() {
		defer close(done)
		for ctx.Err() == nil && err == nil {
			err = exchange(a, b)
			times++
		}
	}()
	return func() (int, error) { <-done; return times, err }
}

func settledOrChanged(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, diff.ErrChanged) {
		t.Errorf("%s gave %v", what, err)
	}
}

// sealedFile reads a sealed regular file; nil if it is another one.
func sealedFile(path string) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, err
	}
	return os.ReadFile(path)
}
