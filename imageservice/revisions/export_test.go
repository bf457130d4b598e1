package revisions

import (
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/merge"
)

// MergeWarnings are the warnings of a plan of what goes, of owners, and of a link.
func MergeWarnings(left merge.Left, owner merge.Owner, from, to string) []string {
	m := Move{ctr: &moby.Container{}}
	m.left(left)
	m.owner(owner)
	m.followed(from, to)
	return m.Plan.Warnings
}

// VolumeWarnings are the warnings of a plan for a container whose users and groups have
// other ids in the new image.
func VolumeWarnings(ctr *moby.Container, ids containerstore.IDs, owners ...merge.Owner) []string {
	m := Move{ctr: ctr, ids: ids}
	for _, o := range owners {
		m.owner(o)
	}
	return m.Plan.Warnings
}
