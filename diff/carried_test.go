package diff_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/internal/difftest"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/diff/xattr"
)

// TestAttributesBothWays: what is left out of the layers that are made is left out of
// those that are unpacked, and nothing else; what the machine trusts in particular.
func TestAttributesBothWays(t *testing.T) {
	difftest.NeedRoot(t)
	for name, c := range map[string]struct {
		value   string
		carried bool
	}{
		"user.mine":               {"1", true},
		"user.overlayed":          {"1", true},
		"security.capability":     {string(difftest.FileCapability), true},
		"system.posix_acl_access": {string(difftest.AclOf(3)), true},
		"user.overlay.opaque":     {"y", false},
		"trusted.mine":            {"1", false},
		"trusted.overlay.origin":  {"x", false},
		"security.selinux":        {"system_u:object_r:shadow_t:s0\x00", false},
		"security.ima":            {"\x01" + strings.Repeat("\xaa", 20), false},
		"security.evm":            {"\x02" + strings.Repeat("\xbb", 20), false},
		"security.SMACK64":        {"_", false},
		"security.apparmor":       {"unconfined", false},
		"security.mine":           {"1", false},
	} {
		if got := xattr.Carried(name); got != c.carried {
			t.Errorf("%s: carried is %v", name, got)
		}
		// From a layer that carries it.
		to := t.TempDir()
		file := difftest.Reg("file", "content").With(name, c.value)
		dir, link := difftest.Folder("dir/").With(name, c.value), difftest.Hardlink("again", "file").With(name, c.value)
		difftest.Apply(t, to, difftest.LayerOf(t, file, dir, link), apply.Options{})
		for _, path := range []string{"file", "dir", "again"} {
			_, err := unix.Lgetxattr(filepath.Join(to, path), name, nil)
			if got := err == nil; got != c.carried && (path != "dir" || name != "security.capability") {
				t.Errorf("%s: a layer sets it on %s: %v", name, path, got)
			}
		}
		// Into one.
		from := t.TempDir()
		path := filepath.Join(from, "file")
		difftest.Do(t, os.WriteFile(path, []byte("content"), 0o644))
		if err := unix.Lsetxattr(path, name, []byte(c.value), 0); err != nil {
			t.Logf("%s cannot be set here, and so not be read: %v", name, err)
			continue
		}
		if got := bytes.Contains(difftest.WriteLayer(t, from, tarlayer.Options{}), []byte("SCHILY.xattr."+name+"=")); got != c.carried {
			t.Errorf("%s: a layer gets it: %v", name, got)
		}
	}
	if slices.ContainsFunc([]string{"", "user", "securityXcapability", "com.apple.quarantine"}, xattr.Carried) {
		t.Error("what has no namespace is carried")
	}
}
