package snapshotter_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/diff/merge"
)

// TestMergeFollowsLinks has directories that became links in the new image.
func TestMergeFollowsLinks(t *testing.T) {
	needRoot(t)
	const old = `mkdir -p bin sbin usr/bin usr/sbin lib/x; echo o > bin/o; echo p > bin/p; echo u > usr/bin/u; echo l > lib/x/l`
	const usr = `mv bin/* usr/bin; rmdir bin; ln -s usr/bin bin; mkdir usr/lib; mv lib/x usr/lib; rmdir lib; ln -s usr/lib lib; rmdir sbin; ln -s usr/sbin sbin`
	for _, test := range []struct {
		name, image, container, want string
		conflicts, dropped, followed []string
		mounts                       []string
	}{
		{name: "nothing", image: usr},
		{name: "new, changed and deleted files", image: usr, container: `echo n > bin/n; ln bin/n bin/m; echo mine > bin/o; rm bin/p; mkdir -p lib/x/y; echo y > lib/x/y/y; chmod 700 lib/x`,
			want:     `echo n > usr/bin/n; ln usr/bin/n usr/bin/m; echo mine > usr/bin/o; rm usr/bin/p; mkdir usr/lib/x/y; echo y > usr/lib/x/y/y; chmod 700 usr/lib/x`,
			followed: []string{"bin usr/bin", "lib usr/lib"}},
		{name: "beside what the container put there", image: usr, container: `echo n > bin/n; echo m > usr/bin/m; echo z > usr/z; chmod 711 usr/bin; mkdir usr/lib; echo v > usr/lib/v; echo w > lib/w`,
			want: `echo n > usr/bin/n; echo m > usr/bin/m; echo z > usr/z; chmod 711 usr/bin; echo v > usr/lib/v; echo w > usr/lib/w`, followed: []string{"bin usr/bin", "lib usr/lib"}},
		{name: "both paths", image: usr, container: `echo n > bin/n; echo m > usr/bin/n; mkdir bin/d usr/bin/d; echo 1 > bin/d/1; echo 2 > usr/bin/d/2; echo b > bin/u; rm usr/bin/u; mkdir bin/e; echo e > bin/e/e; echo f > usr/bin/e`,
			want:    `echo m > usr/bin/n; mkdir usr/bin/d; echo 1 > usr/bin/d/1; echo 2 > usr/bin/d/2; rm usr/bin/u; echo f > usr/bin/e`,
			dropped: []string{"usr/bin/e < bin", "usr/bin/e/e < bin", "usr/bin/n < bin", "usr/bin/u < bin"}, followed: []string{"bin usr/bin"}},
		{name: "two directories to one", image: `mv bin/* usr/bin; rmdir bin sbin usr/sbin; ln -s usr/bin bin; ln -s usr/bin sbin; ln -s bin usr/sbin`,
			container: `echo 1 > bin/n; echo 2 > sbin/n; echo 3 > usr/sbin/n; echo s > sbin/s; mkdir bin/d sbin/d; echo 1 > bin/d/1; echo 2 > sbin/d/2`,
			want:      `echo 1 > usr/bin/n; echo s > usr/bin/s; mkdir usr/bin/d; echo 1 > usr/bin/d/1; echo 2 > usr/bin/d/2`,
			dropped:   []string{"usr/bin/n < sbin", "usr/bin/n < usr/sbin"}, followed: []string{"bin usr/bin", "sbin usr/bin"}},
		{name: "conflicts where it leads", image: usr + `; echo new > usr/bin/o; echo n > usr/bin/n`, container: `echo mine > bin/o; echo m > bin/n`,
			want: `echo mine > usr/bin/o; echo m > usr/bin/n`, conflicts: []string{"usr/bin/n created/created", "usr/bin/o changed/changed"}, followed: []string{"bin usr/bin"}},
		{name: "dropped where it leads", image: usr + `; rm -r usr/lib/x`, container: `echo m > lib/x/m`,
			want: `mkdir usr/lib/x; echo m > usr/lib/x/m; echo l > usr/lib/x/l`, conflicts: []string{"usr/lib/x changed/removed"}, followed: []string{"lib usr/lib"}},
		{name: "a way of links", image: `mkdir -p v/w; ln -s ../v/w d2; rm -r bin; ln -s /d2/../w bin`, container: `echo n > bin/n`,
			want: `echo n > v/w/n`, followed: []string{"bin v/w"}},
		{name: "to the root", image: `rm -r bin; ln -s ../.. bin`, container: `echo n > bin/n`, want: `echo n > n`, followed: []string{"bin ."}},
		{name: "a loop", image: `rm -r bin; ln -s bin2 bin; ln -s bin bin2`, container: `echo n > bin/n; rm bin/p`,
			want: `rm bin; mkdir bin; echo n > bin/n; echo o > bin/o`, conflicts: []string{"bin changed/replaced"}},
		{name: "nowhere", image: `rm -r bin; ln -s none bin`, container: `echo n > bin/n; rm bin/p`,
			want: `rm bin; mkdir bin; echo n > bin/n; echo o > bin/o`, conflicts: []string{"bin changed/replaced"}},
		{name: "to where the container has a file", image: usr, container: `rm -r usr/bin; echo f > usr/bin; echo n > bin/n; rm bin/p`,
			want: `rm bin; rm -r usr/bin; echo f > usr/bin; mkdir bin; echo n > bin/n; echo o > bin/o`, conflicts: []string{"bin changed/replaced", "usr/bin replaced/changed"}},
		{name: "into itself", image: `rm -r bin; ln -s . bin`, container: `mkdir bin/bin; echo n > bin/bin/n; echo m > bin/m`,
			want: `echo m > m; rm bin; mkdir bin; echo n > bin/n`, conflicts: []string{"bin created/created"}, followed: []string{"bin ."}},
		{name: "mount points in it", image: usr, container: `mkdir -p lib/modules sbin; touch sbin/init; mkdir lib/cache; echo c > lib/cache/c`, mounts: []string{"/lib/modules", "/sbin/init", "/lib/cache"},
			want: `mkdir usr/lib/cache; echo c > usr/lib/cache/c`, followed: []string{"lib usr/lib"}},
		{name: "onto a mount point", image: `rm -r lib; mkdir -p srv/lib; ln -s srv/lib lib`, container: `mkdir -p srv/lib; echo m > lib/m; rm -r lib/x`, mounts: []string{"/srv/lib"},
			want: `rm lib; mkdir lib; echo m > lib/m`, conflicts: []string{"lib changed/replaced"}},
		{name: "below a mount point, by a link", image: `rm -r lib; mkdir -p usr/a/b; ln -s usr/a/b lib; ln -s usr way`, container: `mkdir -p usr/a; echo m > lib/m; rm -r lib/x`, mounts: []string{"/way/a"},
			want: `rm lib; mkdir lib; echo m > lib/m`, conflicts: []string{"lib changed/replaced"}},
		{name: "with a mount point where it leads", image: usr, container: `mkdir -p usr/lib/x; mkdir lib/y; echo m > lib/x/m; echo n > lib/n; echo y > lib/y/y`, mounts: []string{"/usr/lib/x"},
			want: `mkdir usr/lib/y; echo n > usr/lib/n; echo y > usr/lib/y/y`, dropped: []string{"usr/lib/x/m < lib"}, followed: []string{"lib usr/lib"}},
		{name: "with a mount point at both", image: usr, container: `mkdir -p lib/x; echo m > lib/x/m; echo n > lib/n`, mounts: []string{"/lib/x"},
			want: `echo m > usr/lib/x/m; echo n > usr/lib/n`, followed: []string{"lib usr/lib"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newUpgrade(t, unpackBase(t), "", true)
			u.old = u.layer(t, "old", old, u.old)
			u.new = u.layer(t, "new", test.image, u.old)
			u.live(t, orTrue(test.container))
			var conflicts, dropped, followed []string
			got, err := u.merge(t, "sealed", &merge.Changes{
				Mounts: test.mounts,
				Report: func(c merge.Conflict) {
					if c.Under != "" {
						dropped = append(dropped, c.Path+" < "+c.Under)
					} else {
						conflicts = append(conflicts, describeConflict(c))
					}
				},
				ReportFollowed: func(path, to string) { followed = append(followed, path+" "+to) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(conflicts, test.conflicts) || !slices.Equal(dropped, test.dropped) || !slices.Equal(followed, test.followed) {
				t.Errorf("conflicts %q, want %q; dropped %q, want %q; followed %q, want %q", conflicts, test.conflicts, dropped, test.dropped, followed, test.followed)
			}
			if err := u.compare(t, u.layer(t, "want", orTrue(test.want), u.new), got); err != nil {
				t.Error(err)
			}
		})
	}
	u := newUpgrade(t, unpackBase(t), "", true)
	u.new = u.layer(t, "new", `rm -r d; ln -s a d`, u.new)
	u.live(t, `echo m > d/m`)
	if _, err := u.merge(t, "kept", &merge.Changes{Keep: []string{"d/x"}}); err == nil || !strings.Contains(err.Error(), "keep /d/x") {
		t.Errorf("to keep what is below a link gave %v", err)
	}
}
