package differ_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// TestCompareOddMounts: of mounts that are not as snapshotters say them, the answer
// is what the walking differ sees.
func TestCompareOddMounts(t *testing.T) {
	l := newLab(t)
	bottom := l.committed("overlay", "", base)
	key := l.active("overlay", bottom, changes[0].script)
	mounts, err := l.sn("overlay").Mounts(l.ctx, key)
	check(t, err)
	lower, err := l.sn("overlay").View(l.ctx, "lower", bottom)
	check(t, err)
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "mounted"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	check(t, unix.Mount("tmpfs", filepath.Join(dir, "mounted"), "tmpfs", 0, ""))
	t.Cleanup(func() { check(t, unix.Unmount(filepath.Join(dir, "mounted"), 0)) })
	check(t, os.WriteFile(filepath.Join(dir, "mounted", "inside"), nil, 0o644))
	with := func(option string) []mount.Mount {
		m := mounts[0]
		m.Options = append([]string{option}, m.Options...)
		return []mount.Mount{m}
	}
	for name, c := range map[string]struct {
		lower, upper []mount.Mount
		want         string
	}{
		"something mounted in it": {nil, []mount.Mount{{Type: "bind", Source: dir, Options: []string{"bind", "ro"}}}, "file mounted/"},
		"two uppers":              {lower, with("upperdir=" + dir), "etc/ etc/passwd new usr/ usr/bin/ usr/bin/.wh.same"},
	} {
		t.Run(name, func(t *testing.T) {
			in := l.in(t)
			desc, err := in.d.Compare(in.ctx, c.lower, c.upper)
			check(t, err)
			got := strings.Join(slices.Sorted(maps.Keys(in.entries(desc))), " ")
			if got != c.want || !in.fellBack() {
				t.Errorf("the layer has %s, want %s, and whole trees compared", got, c.want)
			}
		})
	}
}
