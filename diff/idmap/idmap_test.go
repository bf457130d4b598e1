package idmap_test

import (
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/idmap"
)

func TestIDMap(t *testing.T) {
	m, err := idmap.Parse("0:100000:1000,1000:500:1", "0:200000:4294767295")
	if err != nil {
		t.Fatal(err)
	}
	if uids, gids := m.Format(); uids != "0:100000:1000,1000:500:1" || gids != "0:200000:4294767295" {
		t.Errorf("it is %q, %q", uids, gids)
	}
	for _, c := range []struct {
		inside, outside uint32
		kind            idmap.Kind
	}{
		{0, 100000, idmap.UserID}, {999, 100999, idmap.UserID}, {1000, 500, idmap.UserID}, {0, 200000, idmap.GroupID}, {4294767294, 4294967294, idmap.GroupID},
	} {
		if got, err := m.ToHost(c.inside, c.kind); err != nil || got != c.outside {
			t.Errorf("%s %d is %d outside, %v; want %d", c.kind, c.inside, got, err, c.outside)
		}
		if got, err := m.ToContainer(c.outside, c.kind); err != nil || got != c.inside {
			t.Errorf("%s %d is %d inside, %v; want %d", c.kind, c.outside, got, err, c.inside)
		}
	}
	if _, err := m.ToHost(1001, idmap.UserID); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("an id without mapping gave %v", err)
	}
	if _, _, err := idmap.Func(m.ToContainer).Pair(100000, 0); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a group without mapping gave %v", err)
	}
	if id, err := (idmap.Map{}).ToHost(7, idmap.UserID); id != 7 || err != nil {
		t.Errorf("without a mapping 7 is %d, %v", id, err)
	}
}

func TestIDMapIsDisjoint(t *testing.T) {
	for ranges, want := range map[string]bool{
		"0:100000:65536": true, "0:65536:65536": true, "0:65535:65536": false, "0:1000:65536": false,
		"0:100000:10,100005:0:1": false, "0:4294901760:65535": true, "0:0:1": false,
	} {
		m, err := idmap.Parse("0:100000:1", ranges)
		if err != nil {
			t.Fatal(err)
		}
		if m.Disjoint() != want {
			t.Errorf("that %s is disjoint is %v", ranges, !want)
		}
	}
}

func TestParseIDMapRefuses(t *testing.T) {
	for _, ranges := range []string{"", "0", "0:1", "0:1:2:3", "a:1:2", "-1:1:2", "0:1:2,", "0:4294967296:1"} {
		if m, err := idmap.Parse("0:1:2", ranges); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q gave %v, %v", ranges, m, err)
		}
	}
}
