package xattr_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/diff/xattr"
	"github.com/baleen-project/baleen/integration/soak/scratch"
)

// aclEntry is struct posix_acl_xattr_entry of linux/posix_acl_xattr.h.
type aclEntry struct {
	Tag, Perm uint16
	ID        uint32
}

// aclText makes a list of entries.
func aclText(entries ...aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b, _ = binary.Append(b, binary.LittleEndian, e)
	}
	return b
}

var errNotMapped = errors.New("not mapped")

// FuzzMapACL: of an access control list nothing changes but the ids of named users
// and groups, which are mapped as such; and the list that was read stays.
func FuzzMapACL(f *testing.F) {
	whole := aclText(aclEntry{1, 6, 1<<32 - 1}, aclEntry{2, 4, 7}, aclEntry{4, 4, 1<<32 - 1}, aclEntry{8, 5, 9}, aclEntry{16, 7, 1<<32 - 1}, aclEntry{32, 0, 1<<32 - 1})
	for _, value := range [][]byte{nil, {2, 0, 0, 0}, whole, whole[:len(whole)-1], whole[:5], append(slices.Clone(whole), 8, 0), aclText(aclEntry{2, 0, 1<<32 - 1}, aclEntry{2 | 8, 0, 5})} {
		f.Add("system.posix_acl_access", value, uint32(100))
		f.Add("system.posix_acl_default", value, uint32(1<<32-5))
		f.Add("user.posix_acl_access", value, uint32(1))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte, by uint32) {
		shift := func(sign uint32) idmap.Func {
			return func(id uint32, of idmap.Kind) (uint32, error) {
				if of == idmap.GroupID {
					return id + 2*sign*by, nil
				}
				return id + sign*by, nil
			}
		}
		read := bytes.Clone(value)
		got, err := xattr.MapACL(xattr.Attr{Name: name, Value: value}, shift(1))
		if err != nil || !bytes.Equal(value, read) {
			t.Fatalf("%s: %v, and what was %x is %x", name, err, read, value)
		}
		want := bytes.Clone(value)
		named := 0
		if name == "system.posix_acl_access" || name == "system.posix_acl_default" {
			var e aclEntry
			for at := 4; at < len(want); at += 8 {
				if _, err := binary.Decode(want[at:], binary.LittleEndian, &e); err != nil {
					break
				}
				switch e.Tag {
				case 2:
					e.ID += by
				case 8:
					e.ID += 2 * by
				default:
					continue
				}
				named++
				if _, err := binary.Encode(want[at:], binary.LittleEndian, e); err != nil {
					t.Fatal(err)
				}
			}
		} else if len(name) > 16 && name[:17] == "system.posix_acl_" {
			return // there is none other
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: %x became %x, want %x", name, read, got, want)
		}
		if back, err := xattr.MapACL(xattr.Attr{Name: name, Value: got}, shift(1<<32-1)); err != nil || !bytes.Equal(back, read) {
			t.Errorf("%s: back again it is %x, %v; want %x", name, back, err, read)
		}
		_, err = xattr.MapACL(xattr.Attr{Name: name, Value: value}, func(uint32, idmap.Kind) (uint32, error) { return 0, errNotMapped })
		if errors.Is(err, errNotMapped) != (named > 0) {
			t.Errorf("%s: with %d ids that are not mapped the error is %v", name, named, err)
		}
	})
}

// FuzzCarriedXattrs has the kernel keep attributes, and reads them as a layer
// carries them: those of the table alone, byte for byte, capabilities without the
// id of a namespace's root, and in the order of their names.
func FuzzCarriedXattrs(f *testing.F) {
	v2 := append([]byte{1, 0, 0, 2, 0, 0x20}, make([]byte, 14)...)
	v3 := append(slices.Clone(v2), 0xa0, 0x86, 1, 0)
	v3[3] = 3
	f.Add("user.a", []byte("x"), "user.b", []byte{})
	f.Add("security.capability", v2, "user.overlay.opaque", []byte("y"))
	f.Add("security.capability", v3, "trusted.overlay.redirect", []byte("/x"))
	f.Add("security.capability", v3[:23], "security.capability", v2[:19])
	f.Add("system.posix_acl_access", aclText(aclEntry{1, 6, 1<<32 - 1}, aclEntry{2, 4, 7}, aclEntry{4, 4, 1<<32 - 1}, aclEntry{16, 7, 1<<32 - 1}, aclEntry{32, 0, 1<<32 - 1}), "user.=", []byte("e"))
	f.Add("security.ima", []byte("x"), "security.selinux", []byte("label"))
	f.Add("user.\n", []byte("new\nline"), "user.\xff", bytes.Repeat([]byte("v"), 300))
	f.Add("trusted.x", []byte("x"), "user.overlay", []byte("x"))
	dir := scratch.Dir(f)
	f.Fuzz(func(t *testing.T, name string, value []byte, second string, other []byte) {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		set := map[string][]byte{}
		for _, x := range []xattr.Attr{{Name: name, Value: value}, {Name: second, Value: other}} {
			if err := unix.Lsetxattr(path, x.Name, x.Value, 0); err == nil {
				set[x.Name] = x.Value
			}
		}
		open := scratch.Descriptors(t)
		got, err := xattr.ReadCarried(path)
		if err != nil {
			t.Fatal(err)
		}
		if now := scratch.Descriptors(t); now != open {
			t.Errorf("%d files are open that were not before", now-open)
		}
		if !slices.IsSortedFunc(got, func(a, b xattr.Attr) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }) {
			t.Errorf("the attributes are not in order: %q", got)
		}
		told := map[string]bool{}
		for _, x := range got {
			told[x.Name] = true
			if x.Name == "security.capability" {
				checkPlain(t, set[x.Name], x.Value)
				continue
			}
			if want, ok := set[x.Name]; x.Name != "system.posix_acl_access" && (!ok || !bytes.Equal(x.Value, want)) {
				t.Errorf("%q is %q, want %q", x.Name, x.Value, want)
			}
		}
		for name := range set {
			mark := strings.HasPrefix(name, "user.overlay.") || strings.Contains(name, "=")
			want := name == "security.capability" || strings.HasPrefix(name, "user.") && !mark
			if name == "system.posix_acl_access" || name == "system.posix_acl_default" {
				continue // the kernel drops a list that says no more than the mode
			}
			if told[name] != want {
				t.Errorf("that %q is told is %v", name, told[name])
			}
		}
	})
}

// checkPlain compares capabilities with those that were set (struct vfs_cap_data
// and vfs_ns_cap_data of linux/capability.h).
func checkPlain(t *testing.T, set, got []byte) {
	t.Helper()
	want := bytes.Clone(set)
	if magic := binary.LittleEndian.Uint32(want); magic&0xff000000 == 0x03000000 {
		binary.LittleEndian.PutUint32(want, magic&0x00ffffff|0x02000000)
		want = want[:20]
	}
	if !bytes.Equal(got, want) {
		t.Errorf("capabilities %x are %x, want %x", set, got, want)
	}
	if again := xattr.PlainCapability(got); !bytes.Equal(again, got) {
		t.Errorf("what is plain becomes %x", again)
	}
}

// FuzzPlainCapability takes what no kernel would keep.
func FuzzPlainCapability(f *testing.F) {
	for _, value := range [][]byte{nil, make([]byte, 24), {0, 0, 0, 3}, append([]byte{1, 0, 0, 3}, make([]byte, 20)...), append([]byte{1, 0, 0, 3}, make([]byte, 21)...), append([]byte{0, 0, 0, 2}, make([]byte, 20)...)} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		read := bytes.Clone(value)
		got := xattr.PlainCapability(value)
		if !bytes.Equal(value, read) {
			t.Fatalf("what was %x is %x", read, value)
		}
		if len(value) == 24 && value[3] == 3 {
			checkPlain(t, value, got)
		} else if !bytes.Equal(got, value) {
			t.Errorf("%x became %x", value, got)
		}
	})
}

// FuzzACLOnDisk writes a list as the kernel has it back into a layer and out
// again, with other ids: what a container in a user namespace has, an image gets.
func FuzzACLOnDisk(f *testing.F) {
	f.Add(uint32(7), uint32(9), uint16(4), uint16(6), uint32(1000))
	f.Add(uint32(0), uint32(1<<32-2), uint16(7), uint16(0), uint32(0))
	f.Add(uint32(100000), uint32(165535), uint16(1), uint16(2), uint32(65536))
	dir := scratch.Dir(f)
	f.Fuzz(func(t *testing.T, uid, gid uint32, perm, mask uint16, by uint32) {
		defer scratch.Empty(t, dir)
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		for _, d := range []string{from, to} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		const none = 1<<32 - 1
		list := func(uid, gid uint32) []byte {
			return aclText(aclEntry{1, 7, none}, aclEntry{2, perm & 7, uid}, aclEntry{4, 5, none}, aclEntry{8, perm >> 3 & 7, gid}, aclEntry{16, mask & 7, none}, aclEntry{32, 0, none})
		}
		file := filepath.Join(from, "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unix.Lsetxattr(file, "system.posix_acl_access", list(uid, gid), 0); err != nil {
			return // an id that is none
		}
		if uid+by == none || gid+by == none {
			return
		}
		var layer bytes.Buffer
		shift := func(id uint32, _ idmap.Kind) (uint32, error) { return id + by, nil }
		own := func(id uint32, of idmap.Kind) (uint32, error) {
			if id == 0 && uid != 0 && gid != 0 {
				return 0, nil // the owner of what the test makes
			}
			return shift(id, of)
		}
		if by == none {
			return
		}
		if _, err := tarlayer.Write(t.Context(), &layer, from, tarlayer.Options{MapIDs: own}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := apply.ToDir(t.Context(), &layer, to, apply.Options{}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 256)
		n, err := unix.Lgetxattr(filepath.Join(to, "file"), "system.posix_acl_access", got)
		if want := list(uid+by, gid+by); err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("the list is %x, %v; want %x", got[:max(n, 0)], err, want)
		}
	})
}
