package revisions_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// ownedVolume makes a volume in which files have owners, and returns a mount of it.
func ownedVolume(t *testing.T, root int, files map[string]int) *moby.MountPoint {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "_data")
	own := func(path string, id int, err error) {
		if err == nil {
			err = os.Lchown(path, id, id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	own(dir, root, os.Mkdir(dir, 0o755))
	for name, id := range files {
		own(filepath.Join(dir, name), id, os.Symlink("/", filepath.Join(dir, name)))
	}
	return &moby.MountPoint{Type: moby.MountTypeVolume, Driver: "local", Source: dir}
}

// TestWarningsOfVolumes: files on a volume that another user owns in the new image are told,
// whose and where. Mounts of other kinds are not read.
func TestWarningsOfVolumes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	user := merge.Owner{Name: "unit", Old: 101, New: 999}
	group := merge.Owner{Name: "units", Group: true, Old: 101, New: 998}
	warning := func(volume, first string) string {
		return "the volume at " + volume + " keeps files of the id 101, which is the user unit now; in the new image unit has the id 999: " + first + " for one"
	}
	bind, plugin := ownedVolume(t, 101, nil), ownedVolume(t, 101, nil)
	bind.Type, plugin.Driver = "bind", "other"
	mapped := containerstore.IDs{Way: containerstore.Mounted, Map: idmap.Map{
		UIDs: []idmap.Range{{Container: 0, Host: 100000, Size: 1000}}, GIDs: []idmap.Range{{Container: 0, Host: 100000, Size: 1000}},
	}}
	for name, test := range map[string]struct {
		mounts map[string]*moby.MountPoint
		ids    containerstore.IDs
		owners []merge.Owner
		want   []string
	}{
		"a file, and not the root": {
			mounts: map[string]*moby.MountPoint{"/state": ownedVolume(t, 101, map[string]int{"mine": 101}), "/b": ownedVolume(t, 0, map[string]int{"root's": 0})},
			want:   []string{warning("/state", "/state/mine")},
		},
		"the root alone":   {mounts: map[string]*moby.MountPoint{"/state": ownedVolume(t, 101, nil)}, want: []string{warning("/state", "/state")}},
		"of another owner": {mounts: map[string]*moby.MountPoint{"/state": ownedVolume(t, 0, map[string]int{"mine": 999})}},
		"a group": {
			mounts: map[string]*moby.MountPoint{"/state": ownedVolume(t, 101, nil)}, owners: []merge.Owner{group},
			want: []string{"the volume at /state keeps files of the id 101, which is the group units now; in the new image units has the id 998: /state for one"},
		},
		"of the host, of a plugin": {mounts: map[string]*moby.MountPoint{"/bind": bind, "/plugin": plugin}},
		"mapped ids": {
			mounts: map[string]*moby.MountPoint{"/a": ownedVolume(t, 101, nil), "/b": ownedVolume(t, 0, map[string]int{"mapped": 100101})}, ids: mapped,
			want: []string{warning("/b", "/b/mapped")},
		},
		"a name for a terminal": {
			mounts: map[string]*moby.MountPoint{"/state": ownedVolume(t, 0, map[string]int{"a\rb": 101})},
			want:   []string{warning("/state", `"/state/a\rb"`)},
		},
		"gone": {
			mounts: map[string]*moby.MountPoint{"/state": {Type: moby.MountTypeVolume, Driver: "local", Source: "/nowhere/v/_data"}},
			want:   []string{"the owners of files on the volume at /state are not known: open /nowhere/v: no such file or directory"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.owners == nil {
				test.owners = []merge.Owner{user}
			}
			got := revisions.VolumeWarnings(&moby.Container{MountPoints: test.mounts}, test.ids, test.owners...)
			if !slices.Equal(got, test.want) {
				t.Errorf("warnings are\n%q, want\n%q", got, test.want)
			}
		})
	}
}

// TestMountedVolumesAreNotRead: a file system that is mounted as a volume may not answer.
func TestMountedVolumesAreNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	at := ownedVolume(t, 101, map[string]int{"mine": 101})
	if err := unix.Mount(at.Source, at.Source, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at.Source, 0); err != nil {
			t.Error(err)
		}
	})
	mounts := map[string]*moby.MountPoint{"/mounted": at}
	if got := revisions.VolumeWarnings(&moby.Container{MountPoints: mounts}, containerstore.IDs{}, merge.Owner{Name: "unit", Old: 101, New: 999}); len(got) > 0 {
		t.Errorf("of a mounted file system it says %q", got)
	}
}

// TestVolumesAreReadInPart: a volume can have more names than are read.
func TestVolumesAreReadInPart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
	const names, inOnePlan = 1500, 100
	files := map[string]int{}
	for n := range names {
		files[fmt.Sprint(n)] = 2000 + n
	}
	ctr := &moby.Container{MountPoints: map[string]*moby.MountPoint{"/full": ownedVolume(t, 0, files)}}
	told := 0
	for first := uint32(2000); first < 2000+names; first += inOnePlan {
		var owners []merge.Owner
		for id := first; id < first+inOnePlan; id++ {
			owners = append(owners, merge.Owner{Name: "many", Old: id, New: 1})
		}
		told += len(revisions.VolumeWarnings(ctr, containerstore.IDs{}, owners...))
	}
	if told != 1000 {
		t.Errorf("of %d files %d are told, want 1000", names, told)
	}
}
