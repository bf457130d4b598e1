package overlay_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/soak/scratch"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// usageForm is three numbers as they are written, without what could stand before
// or behind them.
var usageForm = regexp.MustCompile(`^(0|[1-9][0-9]*) (0|[1-9][0-9]*) (0|[1-9][0-9]*)$`)

// FuzzUsageMark: a mark is read if it is one, and then as what was written; from
// any other text nothing is taken.
func FuzzUsageMark(f *testing.F) {
	for _, text := range []string{"1 2 3", "18446744073709551615 9223372036854775807 9223372036854775807", "", "1 2", "1 2 3 4", "-1 2 3", "1 -2 3", "1 2 -3", "01 2 3", "1  2 3", "1 2 3\n", "0x1 2 3", "18446744073709551616 1 1", "1 9223372036854775808 1", "+1 2 3", "1\t2 3", " 1 2 3", "1_0 2 3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inode, usage, ok := overlay.ParseUsage(text)
		m := usageForm.FindStringSubmatch(text)
		want := m != nil
		if want {
			_, inodeErr := strconv.ParseUint(m[1], 10, 64)
			_, sizeErr := strconv.ParseInt(m[2], 10, 64)
			_, countErr := strconv.ParseInt(m[3], 10, 64)
			want = inodeErr == nil && sizeErr == nil && countErr == nil
		}
		if ok != want {
			t.Fatalf("that %q is a mark is %v", text, ok)
		}
		if ok && (usage.Size < 0 || usage.Inodes < 0 || overlay.FormatUsage(inode, usage) != text) {
			t.Errorf("%q reads as %d, %+v", text, inode, usage)
		}
	})
}

// FuzzMappedRoot: who is root by the labels of a snapshot is where the ranges map
// id 0 to, or they are refused.
func FuzzMappedRoot(f *testing.F) {
	for _, ranges := range []string{"0:100000:65536", "1:5:1,0:7:1", "1:5:1", "0:4294967295:1", "0:4294967294:2", "", "0:1", "a", "0:0:0", "0:1:2,1:9:1", "-1:-1:-2"} {
		f.Add(ranges, "0:1:1", true, true)
		f.Add("0:5:9", ranges, true, true)
		f.Add(ranges, ranges, false, true)
		f.Add(ranges, ranges, true, false)
		f.Add(ranges, ranges, false, false)
	}
	f.Fuzz(func(t *testing.T, uids, gids string, hasUIDs, hasGIDs bool) {
		labels, want := map[string]string{}, [2]int{}
		for i, l := range []struct {
			key, text string
			has       bool
		}{{snapshots.LabelSnapshotUIDMapping, uids, hasUIDs}, {snapshots.LabelSnapshotGIDMapping, gids, hasGIDs}} {
			if l.has {
				labels[l.key], want[i] = l.text, rootOf(l.text)
			}
		}
		uid, gid, mapped, err := overlay.MappedRoot(labels)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("an error of another class: %v", err)
			}
			return // whether ranges are right diff's FuzzIDMap tells
		}
		if mapped != (hasUIDs || hasGIDs) || mapped && (uid != want[0] || gid != want[1]) {
			t.Errorf("%q belongs to %d:%d (%v), want %d", labels, uid, gid, mapped, want)
		}
	})
}

// rootOf is where id 0 goes; -1 if nowhere.
func rootOf(ranges string) int {
	for one := range strings.SplitSeq(ranges, ",") {
		fields := strings.Split(one, ":")
		if n, err := strconv.ParseUint(fields[0], 10, 32); err == nil && n == 0 && len(fields) == 3 {
			host, err := strconv.Atoi(fields[1])
			if err == nil {
				return host
			}
		}
	}
	return -1
}

// FuzzLowers: the names of lowers lead to the snapshots' own folders in their
// order, fit into the page of a mount's options, and are read back as what they
// are; or it is said that they do not fit.
func FuzzLowers(f *testing.F) {
	for _, seed := range []struct {
		first uint64
		step  uint16
		count uint16
	}{{1, 1, 1}, {1, 1, 60}, {1, 1, 499}, {1, 1, 500}, {1, 1, 501}, {1 << 40, 7, 100}, {1<<64 - 1, 1, 3}, {1 << 62, 3, 400}, {14_000_000, 1, 490}, {0, 0, 2}} {
		f.Add(seed.first, seed.step, seed.count, uint16(100))
		f.Add(seed.first, seed.step, seed.count, uint16(3500))
	}
	root := filepath.Join(scratch.Dir(f), "root")
	s, err := overlay.New(root)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, first uint64, step, count, others uint16) {
		if count == 0 || count > 600 || step == 0 {
			return
		}
		ids := make([]string, count)
		for i := range ids {
			ids[i] = strconv.FormatUint(first+uint64(step)*uint64(i), 10)
			if id, ok := overlay.IDOfShortName(overlay.ShortName(ids[i])); !ok || id != ids[i] {
				t.Fatalf("%s is %s for short, which is %s, %v", ids[i], overlay.ShortName(ids[i]), id, ok)
			}
		}
		names, err := s.Lowers(ids, int(others))
		if err != nil {
			if !errdefs.IsFailedPrecondition(err) {
				t.Errorf("an error of another class: %v", err)
			}
			if count <= 100 && others < 1000 {
				t.Errorf("%d layers do not fit: %v", count, err)
			}
			return
		}
		if count > 500 || len(names) != int(count) {
			t.Fatalf("%d layers are %d", count, len(names))
		}
		relative := len("lowerdir=") + int(others)
		links := filepath.Join(root, "l")
		for i, name := range names {
			if name != s.Upper(ids[i]) {
				if i == 0 {
					t.Errorf("the topmost is %s", name)
				}
				to, err := os.Readlink(name)
				if err != nil || filepath.Dir(name) != links || filepath.Join(links, to) != s.Upper(ids[i]) {
					t.Fatalf("snapshot %s is %s, which leads to %s, %v", ids[i], name, to, err)
				}
				defer os.Remove(name)
			}
			relative += len(strings.TrimPrefix(name, root+"/")) + 1
		}
		common := filepath.Join(root, "snapshots") + "/"
		if strings.HasPrefix(names[len(names)-1], common) { // from where containerd mounts
			relative -= len("snapshots/") * len(names)
		}
		if relative >= os.Getpagesize() {
			t.Errorf("the options of %d layers take %d bytes", count, relative)
		}
		o, err := changes.ParseOverlay([]mount.Mount{{Type: "overlay", Options: []string{"index=off", "lowerdir=" + strings.Join(names, ":")}}}, true)
		if err != nil || strings.Join(o.Lowers, "\n") != strings.Join(names, "\n") {
			t.Errorf("they read as %q, %v", o.Lowers, err)
		}
	})
}
