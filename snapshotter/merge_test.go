package snapshotter_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/snapshotter"
)

// upgrade is an old image, a container on it, and a new image. Layers are
// topmost first.
type upgrade struct {
	dir       string
	options   string // of the container's mount
	old, new  []string
	container *changes.Container
	scans     int // of its trees
}

// layer runs a script in a new layer on others, and returns them all. An empty
// script changes nothing.
func (u *upgrade) layer(t *testing.T, name, script string, below []string) []string {
	t.Helper()
	return u.run(t, name, u.markOption(), script, below)
}

func (u *upgrade) run(t *testing.T, name, options, script string, below []string) []string {
	t.Helper()
	upper, merged := makeDirs(t, u.dir, name, 0), filepath.Join(u.dir, "merged")
	mountOverlay(t, merged, options, upper, makeDirs(t, u.dir, name+"-work", 0), below)
	defer unmount(t, merged)
	shell(t, merged, script)
	return append([]string{upper}, below...)
}

// newUpgrade makes both images of a base, the new one perhaps of another
// unpacking of it.
func newUpgrade(t *testing.T, base mergeBases, options string, shared bool) *upgrade {
	t.Helper()
	u := &upgrade{dir: tempDir(t), options: options, old: []string{base.one}, new: []string{base.one}}
	if !shared {
		u.new = []string{base.again}
	}
	return u
}

// mergeBases are the base, unpacked twice. Nobody writes to it.
type mergeBases struct{ one, again string }

func unpackBase(t *testing.T) mergeBases {
	t.Helper()
	dir := tempDir(t)
	b := mergeBases{makeDirs(t, dir, "base", 0), makeDirs(t, dir, "again", 0)}
	shell(t, b.one, mergeBase)
	shell(t, b.again, "cp -a ../base0/. .")
	return b
}

// live gives the upgrade a container with the scripts' changes, each in an
// upper of its own.
func (u *upgrade) live(t *testing.T, scripts ...string) {
	t.Helper()
	layers := u.old
	for i, script := range scripts {
		layers = u.run(t, fmt.Sprint("upper", i), u.options, script, layers)
	}
	u.container = &changes.Container{Overlay: changes.Overlay{Uppers: layers[:len(scripts)], Lowers: u.old, UserXattr: u.options == "userxattr"}}
}

// merge seals what a merge comes to.
func (u *upgrade) merge(t *testing.T, name string, m *merge.Changes) ([]string, error) {
	t.Helper()
	sealed := makeDirs(t, u.dir, name, 0)
	m.Container, m.New = u.container, u.new
	_, err := snapshotter.Seal(t.Context(), m, sealed)
	return append([]string{sealed}, u.new...), err
}

// compare mounts two stacks, and compares all but times.
func (u *upgrade) compare(t *testing.T, want, got []string) error {
	t.Helper()
	a, b := filepath.Join(u.dir, "want"), filepath.Join(u.dir, "got")
	mountOverlay(t, a, u.markOption(), "", "", append(want, makeDirs(t, u.dir, "nothing", 0)))
	defer unmount(t, a)
	mountOverlay(t, b, u.markOption(), "", "", append(got, makeDirs(t, u.dir, "nothing", 0)))
	defer unmount(t, b)
	return compare.Trees(t.Context(), a, b, compare.Options{
		Accept: func(d compare.Difference) bool { return d.Aspect == compare.ModTime },
	})
}

// markOption is what images are mounted with: they have no renamed directories.
func (u *upgrade) markOption() string {
	if u.options == "userxattr" {
		return u.options
	}
	return ""
}

func orTrue(script string) string {
	if script == "" {
		return "true"
	}
	return script
}

func TestMerge(t *testing.T) {
	needRoot(t)
	for name, options := range overlays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := unpackBase(t)
			for i, tc := range mergeCases {
				t.Run(tc.name, func(t *testing.T) {
					u := newUpgrade(t, base, options, i%2 == 0)
					u.new = u.layer(t, "new", orTrue(tc.image), u.new)
					u.live(t, orTrue(tc.container))
					checkMerge(t, u, &tc)
				})
			}
		})
	}
}

// TestMergeOfAStack merges the changes of several uppers, of which the lower one
// has another change at many places.
func TestMergeOfAStack(t *testing.T) {
	needRoot(t)
	base := unpackBase(t)
	const first = `echo first > first; echo t > a/one; rm -r d; mkdir d; mv file gone; chmod 600 other`
	undone := fmt.Sprintf("rm first gone; rm -r d; cd %s; cp -a --parents d file other a/one $OLDPWD; cd $OLDPWD; ", base.one)
	for i, tc := range mergeCases {
		t.Run(tc.name, func(t *testing.T) {
			u := newUpgrade(t, base, []string{"", "redirect_dir=on,metacopy=on"}[i%2], i%4 < 2)
			u.new = u.layer(t, "new", orTrue(tc.image), u.new)
			u.live(t, first, undone+orTrue(tc.container))
			checkMerge(t, u, &tc)
		})
	}
}

// checkMerge merges by each policy, and compares with what a case says.
func checkMerge(t *testing.T, u *upgrade, tc *mergeCase) {
	for _, policy := range []merge.Policy{merge.Keep, merge.Image, merge.Fail} {
		t.Run(policy.String(), func(t *testing.T) {
			var conflicts, dropped []string
			var stats merge.Stats
			got, err := u.merge(t, policy.String(), &merge.Changes{
				Decide: func(string) merge.Policy { return policy },
				Report: func(c merge.Conflict) {
					if c.Under != "" {
						dropped = append(dropped, c.Path+" < "+c.Under)
						return
					}
					conflicts = append(conflicts, describeConflict(c))
				},
				Stats: &stats,
			})
			if !slices.Equal(conflicts, tc.conflicts) {
				t.Errorf("conflicts are %q, want %q", conflicts, tc.conflicts)
			}
			var want []string
			script := tc.keep
			if policy == merge.Image && len(tc.conflicts) > 0 {
				want, script = tc.dropped, tc.imageWins
			}
			if !slices.Equal(dropped, want) || stats.Dropped != int64(len(want)) {
				t.Errorf("dropped %q, want %q; %d counted", dropped, want, stats.Dropped)
			}
			if stats.Conflicts[policy] != int64(len(tc.conflicts)) {
				t.Errorf("counted conflicts are %v", stats.Conflicts)
			}
			if policy == merge.Fail && len(tc.conflicts) > 0 {
				checkConflictError(t, err, tc.conflicts)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			script = strings.ReplaceAll(orTrue(script), "$base", u.old[0])
			if err := u.compare(t, u.layer(t, "want-"+policy.String(), script, u.new), got); err != nil {
				t.Errorf("%+v, but %v", stats, err)
			}
		})
	}
}

func describeConflict(c merge.Conflict) string {
	text := fmt.Sprintf("%s %s/%s", c.Path, c.Container, c.Image)
	if c.Class != merge.Ordinary {
		text += " " + string(c.Class)
	}
	return text
}

func checkConflictError(t *testing.T, err error, want []string) {
	t.Helper()
	var failed *merge.ConflictError
	if !errdefs.IsConflict(err) || !errors.As(err, &failed) {
		t.Fatalf("got %v, want a conflict", err)
	}
	var got []string
	for _, c := range failed.First {
		got = append(got, describeConflict(c))
	}
	if failed.Number != int64(len(want)) || !slices.Equal(got, want) {
		t.Errorf("failed on %d: %q, want %q", failed.Number, got, want)
	}
}

// TestMergeDecidesByPath gives one conflict to each side, and one to nobody.
func TestMergeDecidesByPath(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", true)
	u.new = u.layer(t, "new", `echo new > file; echo new > other; echo new > d/x`, u.new)
	u.live(t, `echo mine > file; echo mine > other; echo mine > d/x`)
	winners := map[string]merge.Policy{"file": merge.Image, "d/x": merge.Fail}
	decide := func(p string) merge.Policy { return winners[p] }
	_, err := u.merge(t, "failed", &merge.Changes{Decide: decide})
	checkConflictError(t, err, []string{"d/x changed/changed"})
	for _, text := range []string{"1 conflict", "d/x"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not tell %q: %v", text, err)
		}
	}
	delete(winners, "d/x")
	got, err := u.merge(t, "merged-by-path", &merge.Changes{Decide: decide})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.compare(t, u.layer(t, "wanted", `echo mine > other; echo mine > d/x`, u.new), got); err != nil {
		t.Error(err)
	}
}

// TestMergeLeavesOutTheInitLayer has runtime files between image and container.
func TestMergeLeavesOutTheInitLayer(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", false)
	image := u.old
	init := makeDirs(t, u.dir, "init", 0)
	shell(t, init, `touch .dockerenv; mkdir etc dev; touch etc/hosts etc/hostname; chmod 700 etc; mkdir l; touch l/3`)
	u.old = append([]string{init}, image...)
	u.new = u.layer(t, "new", `mkdir dev; chmod 711 dev; echo h > etc/hosts; echo n > .dockerenv; touch l/3; touch -d @1000000000 l`, u.new)
	u.live(t, `touch etc/hosts dev/mine; rm .dockerenv; echo c > etc/c; touch etc/hostname; touch l/3`)
	u.container.Init = true
	var conflicts []string
	got, err := u.merge(t, "sealed", &merge.Changes{Report: func(c merge.Conflict) { conflicts = append(conflicts, describeConflict(c)) }})
	if err != nil || conflicts != nil {
		t.Fatalf("conflicts %q, error %v", conflicts, err)
	}
	if err := u.compare(t, u.layer(t, "wanted", `touch dev/mine; echo c > etc/c; touch etc/hostname`, u.new), got); err != nil {
		t.Error(err)
	}
	if n := u.scan(t, got).child("l"); n.stat.Mtim.Sec != 1_000_000_000 {
		t.Errorf("a directory that only the init layer changed has time %d, not the image's", n.stat.Mtim.Sec)
	}
}

// TestMergeDoesNotReadWhatImagesShare has a directory that fails whoever reads
// it: no walk enters another file system.
func TestMergeDoesNotReadWhatImagesShare(t *testing.T) {
	needRoot(t)
	base := unpackBase(t)
	u := newUpgrade(t, base, "", true)
	u.new = u.layer(t, "new", `echo n > file; chmod 700 a; echo n > a/n`, u.new)
	u.live(t, `rm -r d; rm -r a/b; echo m > m`)
	for _, name := range []string{"d/e", "a/b/c"} {
		if err := unix.Mount("tmpfs", filepath.Join(base.one, name), "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		defer unmount(t, filepath.Join(base.one, name))
	}
	var told []string
	m := &merge.Changes{Container: u.container, New: u.new}
	if _, err := m.Walk(t.Context(), func(c *changes.Change) error { told = append(told, c.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "a/b", "d", "m"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestMergedTimes looks at what the table leaves out.
func TestMergedTimes(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", false)
	u.new = u.layer(t, "new", `echo n > d/n; echo n > l/n; chmod 700 a/b; touch -d @2000000000 a/b/c d l a/b; touch -d @1000000000 a`, u.new)
	u.live(t, `echo m > d/m; echo n > l/n; touch -d @1500000000 a a/one a/b d l empty file; touch -d @1500000000.5 other`)
	got, err := u.merge(t, "sealed", &merge.Changes{})
	if err != nil {
		t.Fatal(err)
	}
	merged := filepath.Join(u.dir, "merged")
	mountOverlay(t, merged, "", "", "", got)
	defer unmount(t, merged)
	for name, want := range map[string]int64{
		"a":     1500000000, // only the container changed it
		"a/one": 1500000000,
		"file":  1500000000,
		"other": 1500000000,
		"empty": 1500000000,
		"d":     1500000000, // both did, and the container's change in it stays
		"l":     2000000000, // both did, and nothing in it is the container's
		"a/b":   2000000000,
		"a/b/c": 2000000000, // only the image changed it
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(merged, name), &st); err != nil || st.Mtim.Sec != want {
			t.Errorf("%s has time %d, want %d (%v)", name, st.Mtim.Sec, want, err)
		}
	}
}

// TestMergeTellsNothingNew has the changes in the new image already.
func TestMergeTellsNothingNew(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", true)
	const script = `echo n > d/n; rm -r a; echo m > file; mkdir -p n/m/o; touch n/m/o/f`
	u.new = u.layer(t, "new", script, u.new)
	u.live(t, script)
	var stats merge.Stats
	m := &merge.Changes{Container: u.container, New: u.new, Stats: &stats}
	walked, err := m.Walk(t.Context(), func(c *changes.Change) error { return fmt.Errorf("told %s", c.Path) })
	if err != nil || walked.Changes != 0 {
		t.Errorf("%d changes, %v", walked.Changes, err)
	}
	if want := (merge.Stats{There: 4}); stats != want {
		t.Errorf("stats are %+v, want %+v", stats, want)
	}
}

// TestMergeKeepsTheWalksOrder checks what a sealer relies on.
func TestMergeKeepsTheWalksOrder(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", true)
	u.new = u.layer(t, "new", `rm -r a; echo n > d/n`, u.new)
	u.live(t, `echo m > a/b/c/m; echo m > a/b/m; echo m > d/e/m; rm d/x; echo z > z; chmod 700 .`)
	var told []string
	m := &merge.Changes{Container: u.container, New: u.new}
	if _, err := m.Walk(t.Context(), func(c *changes.Change) error {
		told = append(told, fmt.Sprint(c.Path, " ", c.Kind))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{". 1", "a 0", "a/b 0", "a/b/c 0", "a/b/c/m 0", "a/b/c/three 0", "a/b/m 0", "a/b/two 0", "a/link 0", "a/one 0", "d 1", "d/e 1", "d/e/m 0", "d/x 2", "z 0"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestMergeStops(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", false)
	u.live(t, `rm -r a; echo m > z`)
	m := &merge.Changes{Container: u.container, New: u.new}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Walk(ctx, func(*changes.Change) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	enough := errors.New("enough")
	if _, err := m.Walk(t.Context(), func(*changes.Change) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("visitor failed: %v", err)
	}
	m.New = []string{filepath.Join(u.dir, "missing")}
	if _, err := m.Walk(t.Context(), func(*changes.Change) error { return nil }); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("no such layer: %v", err)
	}
}
