package revisions

import "github.com/baleen-project/baleen/diff/merge"

// MergeWarnings are the warnings of a plan of what goes, of owners, and of a link.
func MergeWarnings(left merge.Left, owner merge.Owner, from, to string) []string {
	var m Move
	m.left(left)
	m.owner(owner)
	m.followed(from, to)
	return m.Plan.Warnings
}
