package snap

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// Unmap gives the files of a sealed snapshot the image's ids, if they have the host's:
// layers below a mounted one are all mapped alike. Nothing stands on it yet. It takes
// the labels that say so from i, too.
func (s *Store) Unmap(ctx context.Context, i snapshots.Info) error {
	text, err := JoinLabel(i, label.HostIDs)
	if err != nil {
		return err
	}
	m, err := ParseIDs(text)
	if err != nil {
		return fmt.Errorf("label %s of snapshot %s: %w", label.HostIDs, i.Name, err)
	}
	folder, err := s.Folder(ctx, i)
	if err == nil {
		err = snapshotter.Durably(ctx, folder, func() (stats snapshotter.SealStats, err error) {
			stats.Changes, err = snapshotter.UnmapUpper(ctx, folder, m)
			return stats, err
		})
	}
	if err != nil {
		return fmt.Errorf("map ids of snapshot %s: %w", i.Name, err)
	}
	keys := slices.Collect(maps.Keys(SplitLabel(label.HostIDs, text)))
	maps.DeleteFunc(i.Labels, func(key, _ string) bool { return slices.Contains(keys, key) })
	return s.Unlabel(ctx, i.Name, keys...)
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
