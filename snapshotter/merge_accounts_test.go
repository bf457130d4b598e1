package snapshotter_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/snapshotter"
)

const accountsBase = `echo root:x:0:0::/root:/bin/sh > etc/passwd; echo db:x:101:101::/:/bin/false >> etc/passwd; echo root:x:0: > etc/group; echo db:x:101: >> etc/group
	echo 'root:*:1::::::' > etc/shadow; chown 0:42 etc/shadow; chmod 640 etc/shadow; mkdir db; echo d > db/d; chown -R 101:101 db`

// accountsUpgrade has images with lists of users.
func accountsUpgrade(t *testing.T, image, container string) *upgrade {
	t.Helper()
	u := newUpgrade(t, unpackBase(t), "", true)
	u.old = u.layer(t, "old", accountsBase, u.old)
	u.new = u.layer(t, "new", image, u.old)
	u.live(t, container)
	u.container.Whole = true
	return u
}

// TestMergeOfAccounts merges lists that both sides changed.
func TestMergeOfAccounts(t *testing.T) {
	needRoot(t)
	const image = `echo web:x:33:33::/:/bin/sh >> etc/passwd; echo 'web:!:1::::::' >> etc/shadow; chmod 600 etc/shadow
	: setxattr etc/shadow user.of image`
	for _, test := range []struct {
		name, image, container string
		policy                 merge.Policy
		conflicts              []string
		passwd                 string
	}{
		{name: "names of each", image: image, container: `echo app:x:1000:1000::/:/bin/sh >> etc/passwd; echo 'app:secret:1::::::' >> etc/shadow`,
			passwd: "root db web app"},
		{name: "one id for two names", image: image, container: `echo app:x:33:33::/:/bin/sh >> etc/passwd; echo 'app:secret:1::::::' >> etc/shadow; echo c:x:9:9::/:/bin/sh >> etc/passwd`,
			passwd: "root db app c", conflicts: []string{"etc/passwd: id 33: app (line 3 of the container's), web (line 3 of the image's)"}},
		{name: "one id for two names, and the image wins", image: image, policy: merge.Image,
			container: `echo app:x:33:33::/:/bin/sh >> etc/passwd; echo 'app:secret:1::::::' >> etc/shadow; echo c:x:9:9::/:/bin/sh >> etc/passwd`,
			passwd:    "root db web c", conflicts: []string{"etc/passwd: id 33: app (line 3 of the container's), web (line 3 of the image's)"}},
		{name: "what is no list", image: image, container: `echo odd >> etc/passwd; echo 'app:secret:1::::::' >> etc/shadow`,
			passwd: "root db odd", conflicts: []string{"etc/passwd"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := accountsUpgrade(t, test.image, test.container)
			var conflicts []string
			m := &merge.Changes{
				Container: u.container, New: u.new, Decide: func(string) merge.Policy { return test.policy },
				Report: func(c merge.Conflict) {
					if c.Class != merge.Accounts {
						t.Errorf("the class of %s is %s", c.Path, c.Class)
					}
					conflicts = append(conflicts, strings.Join(append([]string{c.Path}, c.Lines...), ": "))
				},
			}
			sealed := makeDirs(t, u.dir, "sealed", 0)
			if _, err := snapshotter.SealWhole(t.Context(), m, sealed); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(conflicts, test.conflicts) {
				t.Errorf("conflicts are %q, want %q", conflicts, test.conflicts)
			}
			if got := namesIn(t, sealed, "etc/passwd"); got != test.passwd {
				t.Errorf("users are %s, want %s", got, test.passwd)
			}
			if got := namesIn(t, sealed, "etc/shadow"); got != "root web app" {
				t.Errorf("passwords are of %s", got)
			}
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(sealed, "etc/shadow"), &st); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%o %d:%d %s", st.Mode, st.Uid, st.Gid, attribute(filepath.Join(sealed, "etc/shadow"), "user.of")); got != "100600 0:42 image" {
				t.Errorf("etc/shadow has %s, want the image's 100600 0:42 image", got)
			}
		})
	}
}

// namesIn are the names in a list of accounts.
func namesIn(t *testing.T, root, path string) string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// TestMergeTellsOwners has a new image in which users have other ids.
func TestMergeTellsOwners(t *testing.T) {
	needRoot(t)
	u := accountsUpgrade(t, `sed -i s/101:101/999:998/ etc/passwd; sed -i s/101/998/ etc/group; echo app:x:7:7::/:/bin/sh >> etc/passwd; chown -R 999:998 db`,
		`echo mine > db/mine; chown 101:0 db/mine; echo own > own; chown 7:101 own; echo app:x:7:7::/:/bin/sh >> etc/passwd`)
	var told []string
	m := &merge.Changes{ReportOwner: func(o merge.Owner) { told = append(told, fmt.Sprintf("%+v", o)) }}
	if _, err := u.merge(t, "sealed", m); err != nil {
		t.Fatal(err)
	}
	if want := []string{"{Name:db Group:false Old:101 New:999 Files:1 First:db/mine}", "{Name:db Group:true Old:101 New:998 Files:1 First:own}"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
