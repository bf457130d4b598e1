package snapshotter_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/integration/soak/scratch"
	"github.com/baleen-project/baleen/snapshotter"
)

// FuzzMappedLabels: labels that ask for a mapping are read as it, or refused; and
// what a mapping is written as asks for it again.
func FuzzMappedLabels(f *testing.F) {
	for _, ranges := range []string{"0:100000:65536", "0:1:1,1:5:9", "", "x", "0:4294967295:2", "0:0:0", ",", "0:1:1,"} {
		f.Add(ranges, "0:100000:65536")
		f.Add("0:1:1", ranges)
	}
	f.Fuzz(func(t *testing.T, uids, gids string) {
		m, ok, err := snapshotter.MappedFromLabels(map[string]string{snapshots.LabelSnapshotUIDMapping: uids, snapshots.LabelSnapshotGIDMapping: gids, "other": "0:1:1"})
		switch {
		case err != nil:
			if ok || !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q, %q gave %v and %v", uids, gids, ok, err)
			}
			return
		case !ok:
			if uids != "" || gids != "" {
				t.Errorf("%q, %q ask for no mapping", uids, gids)
			}
			return
		}
		if len(m.UIDs) != strings.Count(uids, ",")+1 || len(m.GIDs) != strings.Count(gids, ",")+1 {
			t.Errorf("%q, %q gave %+v", uids, gids, m)
		}
		labels := snapshotter.MappedLabels(m)
		again, ok, err := snapshotter.MappedFromLabels(labels)
		if err != nil || !ok || snapshotter.RemappedName("c", again) != snapshotter.RemappedName("c", m) {
			t.Errorf("%q, %q are written as %q, which is %+v, %v, %v", uids, gids, labels, again, ok, err)
		}
	})
}

// FuzzRemappedName: copies of an image whose owners differ have names that differ.
func FuzzRemappedName(f *testing.F) {
	f.Add("0:100000:65536", "0:200000:65536", uint32(0))
	f.Add("0:100000:65536", "0:100000:1000", uint32(5))
	f.Add("0:100000:1,1:5:9", "0:100000:1,1:6:9", uint32(1))
	f.Add("0:100000:65536", "0:100000:1,1:5:9", uint32(1))
	f.Add("1:5:9", "1:6:9", uint32(1))
	f.Fuzz(func(t *testing.T, a, b string, id uint32) {
		first, err := idmap.Parse(a, a)
		if err != nil {
			return
		}
		second, err := idmap.Parse(b, b)
		if err != nil {
			return
		}
		if name := snapshotter.RemappedName("", first); name != "" {
			t.Errorf("no image is called %s", name)
		}
		name := snapshotter.RemappedName("sha256:c", first)
		if !strings.HasPrefix(name, "sha256:c-") || name != snapshotter.RemappedName("sha256:c", second) {
			return
		}
		for _, m := range []idmap.Map{first, second} {
			if _, err := m.ToHost(0, idmap.UserID); err != nil {
				return // no container has a mapping without root
			}
		}
		x, errX := first.ToHost(id, idmap.UserID)
		y, errY := second.ToHost(id, idmap.UserID)
		if errX == nil && errY == nil && x != y {
			t.Errorf("%s is that of %s and of %s, which map %d to %d and %d", name, a, b, id, x, y)
		}
	})
}

// FuzzUnmapUpper: of a file that a container in a user namespace has left,
// owner, capabilities and access control lists become the image's, the mode
// stays, and nothing is left noted; done twice it is the same.
func FuzzUnmapUpper(f *testing.F) {
	f.Add(uint32(100000), uint32(100005), uint16(0o6755), true, byte(3), uint32(100007), uint32(8), byte(0))
	f.Add(uint32(165535), uint32(165536), uint16(0o4711), false, byte(2), uint32(7), uint32(100008), byte(1))
	f.Add(uint32(0), uint32(99999), uint16(0o7777), true, byte(0), uint32(1<<32-2), uint32(100000), byte(2))
	f.Add(uint32(100001), uint32(0), uint16(0), false, byte(3), uint32(100000), uint32(165535), byte(3))
	dir := scratch.Dir(f)
	f.Fuzz(func(t *testing.T, uid, gid uint32, mode uint16, linked bool, capability byte, user, group uint32, kind byte) {
		defer scratch.Empty(t, dir)
		root, path := filepath.Join(dir, "root"), filepath.Join(dir, "root/file")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		kinds := []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFIFO, unix.S_IFDIR}
		made := kinds[int(kind)%len(kinds)]
		err := unix.Mknod(path, made|0o600, 0)
		if made == unix.S_IFDIR {
			err = unix.Mkdir(path, 0o700)
		}
		if err == nil && linked && made != unix.S_IFDIR {
			err = os.Link(path, filepath.Join(root, "second"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if unix.Lchown(path, int(uid), int(gid)) != nil || uid == 1<<32-1 || gid == 1<<32-1 {
			return // no ids
		}
		list := func(user, group uint32) []byte {
			const none = 1<<32 - 1
			b := binary.LittleEndian.AppendUint32(nil, 2)
			for _, e := range [][3]uint32{{1, 6, none}, {2, 4, user}, {4, 5, none}, {8, 1, group}, {16, 7, none}, {32, 0, none}} {
				b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
				b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
				b = binary.LittleEndian.AppendUint32(b, e[2])
			}
			return b
		}
		hasList := unix.Lsetxattr(path, "system.posix_acl_access", list(user, group), 0) == nil
		if err := unix.Chmod(path, uint32(mode&0o7777)); err != nil {
			t.Fatal(err)
		}
		caps := append([]byte{1, 0, 0, capability, 4, 0, 0, 0, 8}, make([]byte, 11)...)
		if capability == 3 {
			caps = binary.LittleEndian.AppendUint32(caps, 100000)
		}
		hasCaps := made == unix.S_IFREG && unix.Lsetxattr(path, "security.capability", caps, 0) == nil
		var before unix.Stat_t
		if err := unix.Lstat(path, &before); err != nil {
			t.Fatal(err)
		}
		inside := func(id uint32) uint32 {
			if id >= 100000 && id < 165536 {
				return id - 100000
			}
			return id
		}
		for range 2 {
			open := scratch.Descriptors(t)
			if _, err := snapshotter.UnmapUpper(t.Context(), root, shift()); err != nil {
				t.Fatal(err)
			}
			if now := scratch.Descriptors(t); now != open {
				t.Errorf("%d files are open that were not before", now-open)
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				t.Fatal(err)
			}
			if st.Mode != before.Mode || st.Uid != inside(uid) || st.Gid != inside(gid) || st.Ino != before.Ino || st.Nlink != before.Nlink {
				t.Errorf("%o %d:%d %d became %o %d:%d %d", before.Mode, uid, gid, before.Ino, st.Mode, st.Uid, st.Gid, st.Ino)
			}
			if hasList {
				checkXattr(t, path, "system.posix_acl_access", withMode(list(inside(user), inside(group)), st.Mode))
			}
			if hasCaps { // with an owner that stays, they do
				if st.Uid != uid || st.Gid != gid {
					caps = bytes.Clone(caps[:20])
					caps[3] = 2
				}
				checkXattr(t, path, "security.capability", caps)
			}
			if n, err := unix.Lgetxattr(path, "trusted.baleen.owner", nil); err == nil {
				t.Errorf("a note of %d bytes is left", n)
			}
			before.Uid, before.Gid, uid, gid, user, group = st.Uid, st.Gid, inside(uid), inside(gid), inside(user), inside(group)
		}
	})
}

// withMode is a list whose entries for owner, mask and others are the mode's bits,
// as chmod sets them.
func withMode(list []byte, mode uint32) []byte {
	for at := 4; at < len(list); at += 8 {
		shift, ok := map[uint16]uint32{1: 6, 16: 3, 32: 0}[binary.LittleEndian.Uint16(list[at:])]
		if ok {
			binary.LittleEndian.PutUint16(list[at+2:], uint16(mode>>shift&7))
		}
	}
	return list
}

func checkXattr(t *testing.T, path, name string, want []byte) {
	t.Helper()
	got := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, got)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("%s is %x, %v; want %x", name, got[:max(n, 0)], err, want)
	}
}
