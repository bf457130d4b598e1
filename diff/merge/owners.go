package merge

import (
	"maps"
	"slices"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/accounts"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Owner is a user or group that has another id in the new image than in the container.
type Owner struct {
	Name  string
	Group bool   // it is a group
	Old   uint32 // its id in the container
	New   uint32 // its id in the new image
	Files int64  // files and directories of the container that stay, with the old id
	First string // the path of one of them, as in [changes.Change]; "" if Files is 0
}

// owners counts what stays by its owners that have other ids in the new image.
type owners struct {
	users, groups map[uint32]*Owner // by the old id
}

// open finds the users and groups whose ids differ. Those that the container gave its own
// ids keep them.
func (o *owners) open(view, image *tree.View, own *changes.Container) (err error) {
	old := len(own.Uppers) + own.Sealed
	if own.Init {
		old++
	}
	for path, into := range map[string]*map[uint32]*Owner{"etc/passwd": &o.users, "etc/group": &o.groups} {
		var ids [3]map[string]uint32 // of the old image, the container and the new image
		for i, from := range []struct {
			view  *tree.View
			layer int
		}{{view, old}, {view, 0}, {image, 0}} {
			if ids[i], err = listedIDs(from.view, from.layer, path); err != nil {
				return err
			}
		}
		*into = map[uint32]*Owner{}
		for _, name := range slices.Sorted(maps.Keys(ids[1])) {
			is := ids[1][name]
			will, there := ids[2][name]
			was, known := ids[0][name]
			if there && known && was == is && will != is && (*into)[is] == nil {
				(*into)[is] = &Owner{Name: text.Beginning(name), Group: path == "etc/group", Old: is, New: will}
			}
		}
	}
	return nil
}

// listedIDs reads the ids of names from a list in the layers from one on; nil if there is
// none that can be read.
func listedIDs(view *tree.View, layer int, path string) (map[string]uint32, error) {
	format, _ := accounts.FormatOf(path)
	dir, err := view.Descend(layer, 0, "/etc")
	if err != nil || dir == nil {
		return nil, err
	}
	defer dir.Close()
	seen, err := tree.Look(view, dir, path[len("etc/"):])
	if err != nil {
		return nil, err
	}
	list, ok, err := readList(&seen)
	if err != nil || !ok {
		return nil, err
	}
	return accounts.IDs(format, list), nil
}

// count notes a path that stays.
func (o *owners) count(c *changes.Change) {
	if c.Kind == changes.Deleted {
		return
	}
	for _, of := range []*Owner{o.users[c.Stat.Uid], o.groups[c.Stat.Gid]} {
		if of == nil {
			continue
		}
		if of.Files++; of.Files == 1 {
			of.First = c.Path
		}
	}
}

// tell reports them all: files that are not in the container's layers may be theirs.
func (o *owners) tell(report func(Owner)) {
	for _, of := range []map[uint32]*Owner{o.users, o.groups} {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			report(*of[id])
		}
	}
}
