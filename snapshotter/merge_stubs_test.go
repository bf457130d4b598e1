package snapshotter_test

import (
	"slices"
	"testing"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
)

// TestMergeLeavesOutMountPoints has what a runtime makes to mount on, and beside it what
// looks like that and is the container's.
func TestMergeLeavesOutMountPoints(t *testing.T) {
	needRoot(t)
	const usr = `mkdir -p usr/lib usr/sbin; rm -rf lib sbin; ln -s usr/lib lib; ln -s usr/sbin sbin; ln -s a/b run`
	for _, test := range []struct {
		name, image, container string
		mounts, want           []string
	}{
		{name: "a merged /usr", image: usr, container: `mkdir -p lib/modules; touch sbin/docker-init`, mounts: []string{"/lib/modules", "/sbin/docker-init"}},
		{name: "directories on the way", container: `mkdir -p srv/a/b/c; touch srv/a/b/file`, mounts: []string{"/srv/a/b/c", "/srv/a/b/file"}},
		{name: "a directory of the container's on the way", container: `mkdir -p srv/a/b; chmod 700 srv/a`, mounts: []string{"/srv/a/b"}, want: []string{"srv", "srv/a"}},
		{name: "what is in them", container: `mkdir -p srv/a/b; echo x > srv/a/b/under; mkdir srv/a/c`, mounts: []string{"/srv/a/b"}, want: []string{"srv", "srv/a", "srv/a/b", "srv/a/b/under", "srv/a/c"}},
		{name: "files that are not empty", container: `echo x > srv; mkdir data`, mounts: []string{"/srv"}, want: []string{"data", "srv"}},
		{name: "by a link of the container", container: `ln -s a/b way; mkdir a/b/vol`, mounts: []string{"/way/vol"}, want: []string{"a", "a/b", "way"}}, // times,
		{name: "by links that lead out or nowhere", container: `ln -s ../../../.. up; ln -s loop loop; mkdir vol`, mounts: []string{"/up/vol", "/loop/x", "/vol/../../.."}, want: []string{"loop", "up"}},
		{name: "where the image has a directory", image: `mkdir data; chown 7 data; echo n > data/n`, container: `mkdir data`, mounts: []string{"/data"}},
		{name: "in a directory that the image dropped", image: `rm -r d`, container: `mkdir d/vol`, mounts: []string{"/d/vol"}},
		{name: "of the image", container: `echo mine > file`, mounts: []string{"/file", "/a"}, want: []string{"file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newUpgrade(t, unpackBase(t), "", true)
			u.old = u.layer(t, "old", `mkdir lib sbin`, u.old)
			u.new = u.layer(t, "new", orTrue(test.image), u.old)
			u.live(t, test.container)
			var told []string
			m := &merge.Changes{Container: u.container, New: u.new, Mounts: test.mounts, Report: func(c merge.Conflict) { t.Errorf("%v", c) }}
			if _, err := m.Walk(t.Context(), func(c *changes.Change) error { told = append(told, c.Path); return nil }); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(told, test.want) {
				t.Errorf("told %q, want %q", told, test.want)
			}
		})
	}
}
