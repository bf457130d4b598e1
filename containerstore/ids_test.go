package containerstore_test

import (
	"testing"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
)

// TestInitLabelsFit: containerd takes the labels of a mapping, however many ranges
// it has. The kernel has at most 340.
func TestInitLabelsFit(t *testing.T) {
	for _, n := range []int{1, 70, 100, 340} {
		var m idmap.Map
		for i := range uint32(n) {
			r := idmap.Range{Container: 65536 * i, Host: 1_000_000_000 + 65536*i, Size: 65536}
			m.UIDs, m.GIDs = append(m.UIDs, r), append(m.GIDs, r)
		}
		made := containerstore.IDs{Way: containerstore.Remapped, Map: m}.InitLabels()
		if len(made) == 0 {
			t.Errorf("%d ranges have no label", n)
		}
		for key, value := range made {
			if err := labels.Validate(key, value); err != nil {
				t.Errorf("%d ranges: %v", n, err)
			}
		}
	}
}
