package snap

import (
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// hostIDs is the label of a revision that an active snapshot becomes whose
// writer's ids are mapped.
func hostIDs(active snapshots.Info) (map[string]string, error) {
	m, ok, err := snapshotter.MappedFromLabels(active.Labels)
	if err != nil || !ok {
		return nil, err
	}
	return SplitLabel(label.HostIDs, FormatIDs(m)), nil
}

// FormatIDs writes a mapping as UIDS GIDS.
func FormatIDs(m idmap.Map) string {
	uids, gids := m.Format()
	return uids + " " + gids
}

// ParseIDs reads what FormatIDs has written.
func ParseIDs(text string) (idmap.Map, error) {
	uids, gids, _ := strings.Cut(text, " ")
	return idmap.Parse(uids, gids)
}
