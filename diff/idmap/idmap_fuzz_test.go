package idmap_test

import (
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/idmap"
)

// mappingForm is what user_namespaces(7) has as a list of extents, in our form.
var mappingForm = regexp.MustCompile(`^[0-9]+:[0-9]+:[0-9]+(,[0-9]+:[0-9]+:[0-9]+)*$`)

// mappingModel reads a mapping without the code under test: three numbers for
// each range, in order.
func mappingModel(text string) (ranges [][3]uint64, ok bool) {
	if !mappingForm.MatchString(text) {
		return nil, false
	}
	for one := range strings.SplitSeq(text, ",") {
		var r [3]uint64
		for i, digits := range strings.Split(one, ":") {
			n, _ := new(big.Int).SetString(digits, 10)
			if !n.IsUint64() || n.Uint64() > math.MaxUint32 {
				return nil, false
			}
			r[i] = n.Uint64()
		}
		ranges = append(ranges, r)
	}
	return ranges, true
}

// valid reports whether the kernel takes the ranges (kernel/user_namespace.c,
// map_write): up to 340, none empty or up to the highest number, no two of which
// hold one id.
func valid(ranges [][3]uint64) bool {
	if len(ranges) > 340 {
		return false
	}
	for i, r := range ranges {
		if r[2] == 0 || r[0]+r[2] > math.MaxUint32 || r[1]+r[2] > math.MaxUint32 {
			return false
		}
		for _, s := range ranges[:i] {
			for side := range 2 {
				if r[side] < s[side]+s[2] && s[side] < r[side]+r[2] {
					return false
				}
			}
		}
	}
	return true
}

// FuzzIDMap: what the kernel would not take as a mapping is refused; all else maps
// each id as the ranges say, and back, and reads as it was written.
func FuzzIDMap(f *testing.F) {
	for _, ranges := range []string{
		"0:100000:65536", "0:100000:1000,1000:500:1", "0:200000:4294767295", "", "0", "0:1:2:3", "a:1:2", "-1:1:2", "0:1:2,", "0:4294967296:1",
		"0:4294967295:2", "4294967295:0:1", "0:0:0", "0:10:10,5:100:10", "0:10:10,100:15:1", "00:1:2", "+0:1:2", "0:1:0", "0:4294967294:1", "0: 1:2", "0:0:4294967295",
	} {
		f.Add(ranges, uint32(0))
		f.Add(ranges, uint32(5))
	}
	f.Fuzz(func(t *testing.T, text string, id uint32) {
		ranges, ok := mappingModel(text)
		m, err := idmap.Parse(text, "0:1:1")
		if want := ok && valid(ranges); (err == nil) != want {
			t.Fatalf("%q gave %v, %v; want it understood: %v", text, m, err, want)
		}
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: an error of another class: %v", text, err)
			}
			return
		}
		uids, gids := m.Format()
		if again, err := idmap.Parse(uids, gids); err != nil || !slices.Equal(again.UIDs, m.UIDs) {
			t.Errorf("%q is written as %q, which reads as %v, %v", text, uids, again, err)
		}
		ids := []uint32{id}
		for _, r := range ranges {
			ids = append(ids, uint32(r[0]), uint32(r[1]), uint32(r[0]+r[2]), uint32(r[1]+r[2]), uint32(r[0]-1), uint32(r[1]-1))
		}
		both := false
		for _, id := range ids {
			inside := checkMapped(t, text, ranges, id, 0, m.ToHost)
			outside := checkMapped(t, text, ranges, id, 1, m.ToContainer)
			both = both || inside && outside
		}
		if both && m.Disjoint() {
			t.Errorf("%q is disjoint, and has an id on both sides", text)
		}
	})
}

// checkMapped compares where an id of one side goes with the ranges, and that it
// comes back.
func checkMapped(t *testing.T, text string, ranges [][3]uint64, id uint32, side int, to idmap.Func) bool {
	t.Helper()
	got, err := to(id, idmap.UserID)
	for _, r := range ranges {
		if n := uint64(id); n >= r[side] && n < r[side]+r[2] {
			if want := r[1-side] + n - r[side]; err != nil || uint64(got) != want {
				t.Errorf("%q maps %d of side %d to %d, %v; want %d", text, id, side, got, err, want)
			}
			return true
		}
	}
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("%q maps %d of side %d to %d, %v; want none", text, id, side, got, err)
	}
	return false
}
