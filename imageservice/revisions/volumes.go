package revisions

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/compat/printable"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/merge"
)

// volumeNames bounds how many names of a volume are read.
const volumeNames = 1000

// volumeOwners are the owners of a volume's root and of files in it.
type volumeOwners struct {
	path string // of the volume in the container
	// users and groups have, by the id in the container, the path of one file in the
	// container.
	users, groups map[uint32]string
}

// onVolumes warns of files on volumes that belong to an id which is another user's or
// group's in the new image. An upgrade changes no volume.
func (m *Move) onVolumes(o merge.Owner) {
	if m.volumes == nil {
		m.readVolumes()
	}
	for _, v := range m.volumes {
		of := v.users
		if o.Group {
			of = v.groups
		}
		if first, ok := of[o.Old]; ok {
			m.warn(fmt.Sprintf("the volume at %s keeps files of the id %s: %s for one", printable.Line(v.path), otherID(o), printable.Line(first)))
		}
	}
}

// readVolumes reads the owners on the container's volumes.
func (m *Move) readVolumes() {
	m.volumes = []volumeOwners{}
	for _, path := range slices.Sorted(maps.Keys(m.ctr.MountPoints)) {
		at := m.ctr.MountPoints[path]
		if !isLocalVolume(at) {
			continue
		}
		v := volumeOwners{path: path, users: map[uint32]string{}, groups: map[uint32]string{}}
		if err := v.read(at.Path(), m.ids); err != nil {
			m.warn(fmt.Sprintf("the owners of files on the volume at %s are not known: %s", printable.Line(path), printable.Line(err.Error())))
		}
		m.volumes = append(m.volumes, v)
	}
}

// isLocalVolume reports whether a mount is a volume of Docker's own driver, whose path the
// container cannot choose. A mount that the daemon has not looked up has no Volume.
func isLocalVolume(at *moby.MountPoint) bool {
	driver := at.Driver
	if at.Volume != nil {
		driver = at.Volume.DriverName()
	}
	return (at.Volume != nil || at.Type == moby.MountTypeVolume) && driver == "local" && at.Path() != ""
}

// read notes the owners of the root of a volume and of the first [volumeNames] names in it,
// not of what is further down: a volume can be of any size. A volume with options, as of
// NFS, is a file system that is mounted at dir. It is not read, since it may not answer.
func (v *volumeOwners) read(dir string, ids containerstore.IDs) error {
	parent, err := unix.Open(filepath.Dir(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(dir), Err: err}
	}
	defer unix.Close(parent)
	fd, err := unix.Openat2(parent, filepath.Base(dir), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.EXDEV) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	folder := os.NewFile(uintptr(fd), dir)
	defer folder.Close()
	names, err := folder.Readdirnames(volumeNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, name := range slices.Concat([]string{"."}, names) {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
		if errors.Is(err, unix.ENOENT) {
			continue // the container has removed it meanwhile
		}
		if err != nil {
			return &os.PathError{Op: "stat", Path: filepath.Join(dir, name), Err: err}
		}
		v.note(v.users, st.Uid, idmap.UserID, name, ids)
		v.note(v.groups, st.Gid, idmap.GroupID, name, ids)
	}
	return nil
}

// note keeps a file in preference to the root. Files have the host's ids.
func (v *volumeOwners) note(of map[uint32]string, id uint32, kind idmap.Kind, name string, ids containerstore.IDs) {
	if ids.Way != containerstore.AsStored {
		inside, err := ids.Map.ToContainer(id, kind)
		if err != nil {
			return // of nobody in the container
		}
		id = inside
	}
	path := filepath.Join(v.path, name)
	if first, ok := of[id]; !ok || first == v.path {
		of[id] = path
	}
}
