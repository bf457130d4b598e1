package revisions_test

import (
	"slices"
	"testing"

	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// TestWarningsOfHostileNames: a container chose the names in warnings, one of which is in a
// command to paste.
func TestWarningsOfHostileNames(t *testing.T) {
	got := revisions.MergeWarnings(
		merge.Left{Path: "srv/a; reboot", First: "x\nWARNING: y", Names: 2},
		merge.Owner{Name: "db\x1b[2J", Old: 1, New: 2, Files: 1, First: "a\rb"},
		"bin\t", "usr/\u202ebin",
	)
	want := []string{
		`2 files and directories that the container did not touch will go from /srv/a; reboot, where it changed others: "x\nWARNING: y" for one; --keep '/srv/a; reboot' keeps that directory whole`,
		`1 path stays with the id 1, which is the user "db\x1b[2J" now; in the new image "db\x1b[2J" has the id 2: "/a\rb" for one`,
		`"/bin\t" is a link to "/usr/\u202ebin" in the new image: what the container changed in it goes there`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("warnings are\n%q, want\n%q", got, want)
	}
}
