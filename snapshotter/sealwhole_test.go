package snapshotter_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/snapshotter"
)

// TestSealWholeOfAttributesAlone: a file of which a container changed nothing but an
// attribute that no layer carries has it in the next upper, also on another image.
func TestSealWholeOfAttributesAlone(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", true)
	u.new = u.layer(t, "new", "echo new > other", u.new)
	u.live(t, ": setxattr file trusted.own v\n\t: setxattr a user.overlay.own v")
	u.container.Whole = true
	for name, c := range map[string]changes.Walker{
		"snapshot": u.container,
		"merge":    &merge.Changes{Container: u.container, New: u.new},
	} {
		sealed := makeDirs(t, u.dir, name, 0)
		if _, err := snapshotter.SealWhole(t.Context(), c, sealed); err != nil {
			t.Fatal(err)
		}
		for _, at := range [][2]string{{"file", "trusted.own"}, {"a", "user.overlay.own"}} {
			if got := attribute(filepath.Join(sealed, at[0]), at[1]); got != "v" {
				t.Errorf("after a %s %s has %s %q", name, at[0], at[1], got)
			}
		}
	}
}

// TestSealWholeOnXFS: XFS lists an access control list as one, and as an attribute of its
// own as well. What is in a directory gets nothing from the list that it gives to new
// files, and ids in lists are mapped.
func TestSealWholeOnXFS(t *testing.T) {
	needRoot(t)
	v, err := volume.OpenLoop(t.Context(), volume.XFS, tempDir(t), 400<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	upper, sealed := makeDirs(t, v.Dir, "upper", 0), makeDirs(t, v.Dir, "sealed", 0)
	shell(t, upper, `mkdir -p d/sub; chmod 750 d/sub; echo x > d/file; chmod 640 d/file; echo y > listed`)
	const host, inside = 100_007, 7
	for path, name := range map[string]string{"d": "system.posix_acl_default", "listed": "system.posix_acl_access"} {
		if err := unix.Setxattr(filepath.Join(upper, path), name, []byte(listFor(host)), 0); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, upper, "chown -R 100000:100000 .")
	ids, err := idmap.Parse("0:100000:65536", "0:100000:65536")
	if err != nil {
		t.Fatal(err)
	}
	c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{upper}, Mapped: 1, IDs: ids}, Whole: true}
	if _, err := snapshotter.SealWhole(t.Context(), c, sealed); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"d/sub": 0o750, "d/file": 0o640} {
		info, err := os.Lstat(filepath.Join(sealed, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s is %v, %v", path, info, err)
		}
		for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
			if got := attribute(filepath.Join(sealed, path), name); got != "" {
				t.Errorf("%s has %s %x", path, name, got)
			}
		}
	}
	for path, name := range map[string]string{"d": "system.posix_acl_default", "listed": "system.posix_acl_access"} {
		if got := attribute(filepath.Join(sealed, path), name); got != listFor(inside) {
			t.Errorf("%s has %s %x", path, name, got)
		}
	}
}

// listFor is an access control list that lets a further user read.
func listFor(user uint32) string {
	const none = 1<<32 - 1
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, none}, {2, 4, user}, {4, 4, none}, {16, 4, none}, {32, 0, none}} {
		list, _ = binary.Append(list, binary.LittleEndian, e)
	}
	return string(list)
}

// attribute is the value of an attribute, or "" if there is none.
func attribute(path, name string) string {
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, value)
	if errors.Is(err, unix.ENODATA) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return string(value[:n])
}
