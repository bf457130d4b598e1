package snapshotter_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/xattr"
	"github.com/baleen-project/baleen/snapshotter"
)

// shift maps a namespace's ids to those from 100000 on.
func shift() idmap.Map {
	ids := []idmap.Range{{Container: 0, Host: 100000, Size: 65536}}
	return idmap.Map{UIDs: ids, GIDs: ids}
}

// caps are capabilities of the third revision, for the root of shift.
func caps() []byte {
	value := make([]byte, 24)
	value[0], value[3], value[5] = 1, 3, 4
	binary.LittleEndian.PutUint32(value[20:], 100000)
	return value
}

// mappedUpper makes an upper as a container in a user namespace leaves it.
func mappedUpper(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, name := range []string{"suid", "caps", "both", "linked"} {
		do(t, os.WriteFile(at(name), nil, 0o755), os.Chown(at(name), 100005, 100006))
	}
	do(t,
		os.Chmod(at("suid"), 0o755|os.ModeSetuid|os.ModeSetgid), os.Chmod(at("both"), 0o755|os.ModeSetuid),
		unix.Setxattr(at("caps"), "security.capability", caps(), 0), unix.Setxattr(at("both"), "security.capability", caps(), 0),
		os.Mkdir(at("dir"), 0o755), os.Chown(at("dir"), 100000, 100000), os.Link(at("linked"), at("dir/linked")),
		os.Symlink("/nowhere", at("link")), os.Lchown(at("link"), 100001, 100001),
		unix.Mknod(at("gone"), unix.S_IFCHR, 0),
		os.WriteFile(at("image's"), nil, 0o644), os.Chown(at("image's"), 7, 7),
		os.Chown(root, 100000, 100000),
	)
	return root
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// isUnmapped checks what became of mappedUpper.
func isUnmapped(t *testing.T, root string) {
	t.Helper()
	for name, want := range map[string]string{
		".": "40755 0:0", "suid": "106755 5:6", "caps": "100755 5:6", "both": "104755 5:6", "linked": "100755 5:6", "dir/linked": "100755 5:6",
		"dir": "40755 0:0", "link": "120777 1:1", "gone": "20000 0:0", "image's": "100644 7:7",
	} {
		var st unix.Stat_t
		do(t, unix.Lstat(filepath.Join(root, name), &st))
		if got := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid); name != "." && got != want || st.Uid >= 100000 {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"caps", "both"} {
		value := make([]byte, 64)
		n, err := unix.Getxattr(filepath.Join(root, name), "security.capability", value)
		if err != nil || n != 20 || value[3] != 2 || value[5] != 4 {
			t.Errorf("%s has the capabilities %x: %v", name, value[:max(n, 0)], err)
		}
		if n, err := unix.Listxattr(filepath.Join(root, name), value); err != nil || string(value[:n]) != "security.capability\x00" {
			t.Errorf("%s has the attributes %q: %v", name, value[:max(n, 0)], err)
		}
	}
	if st, err := os.Stat(filepath.Join(root, "linked")); err != nil || st.Sys() == nil {
		t.Error(err)
	}
}

func TestUnmapUpper(t *testing.T) {
	needRoot(t)
	root := mappedUpper(t)
	for range 2 { // as often as one likes
		if _, err := snapshotter.UnmapUpper(t.Context(), root, shift()); err != nil {
			t.Fatal(err)
		}
		isUnmapped(t, root)
	}
}

// TestUnmapUpperInPieces cuts it before each file.
func TestUnmapUpperInPieces(t *testing.T) {
	needRoot(t)
	root := mappedUpper(t)
	for n := 0; ; n++ {
		ctx := &countdown{Context: t.Context(), left: n}
		_, err := snapshotter.UnmapUpper(ctx, root, shift())
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	isUnmapped(t, root)
}

// countdown is a context that ends when it has been asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestUnmapUpperAfterALoss goes on where a crash came between the change of a
// file's owner and the rest.
func TestUnmapUpperAfterALoss(t *testing.T) {
	needRoot(t)
	for _, what := range []string{"chown", "chmod", "setxattr"} {
		t.Run(what, func(t *testing.T) {
			root := mappedUpper(t)
			both := filepath.Join(root, "both")
			// As it is noted before the change: the mode, and what the image has
			// for capabilities.
			note := binary.LittleEndian.AppendUint32(nil, 0o4755)
			note = append(note, xattr.PlainCapability(caps())...)
			do(t, unix.Setxattr(both, "trusted.baleen.owner", note, 0), os.Chown(both, 5, 6))
			if what != "chown" {
				do(t, os.Chmod(both, 0o755|os.ModeSetuid))
			}
			if what == "setxattr" {
				do(t, unix.Setxattr(both, "security.capability", xattr.PlainCapability(caps()), 0))
			}
			if _, err := snapshotter.UnmapUpper(t.Context(), root, shift()); err != nil {
				t.Fatal(err)
			}
			isUnmapped(t, root)
		})
	}
}
