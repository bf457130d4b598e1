package containerstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// IDWay is how the files of a container come to ids of a user namespace.
type IDWay int

const (
	// AsStored: nothing is done about ids. That is so without a user namespace,
	// and where the files of each container got other owners when it was made.
	AsStored IDWay = iota
	// Mounted: the layers below the active snapshot have the image's ids, and
	// are mapped when they are mounted; what is written has the host's.
	Mounted
	// Remapped: all has the host's ids, from a copy of the image on.
	Remapped
)

// IDs are the ids of a container's files. They are the same all its life: its
// init layers have them in their labels.
type IDs struct {
	Way IDWay
	Map idmap.Map
}

const (
	// On an init layer: what IDs says, as WAY UIDS GIDS.
	labelIDs = "io.baleen.ids"
	// On a revision: the mapping in which its files still have the host's ids,
	// as UIDS GIDS. Recover gives them the image's.
	labelHostIDs = "io.baleen.host-ids"
)

var idWays = map[IDWay]string{Mounted: "mounted", Remapped: "remapped"}

// InitLabels are the labels of the container's init layer.
func (i IDs) InitLabels() map[string]string {
	if i.Way == AsStored {
		return nil
	}
	return splitLabel(labelIDs, idWays[i.Way]+" "+formatIDs(i.Map))
}

// ActiveLabels are the labels of its active snapshot, on its birth and later.
func (i IDs) ActiveLabels() map[string]string {
	if i.Way != Mounted {
		return nil
	}
	return snapshotter.MappedLabels(i.Map)
}

func formatIDs(m idmap.Map) string {
	uids, gids := m.Format()
	return uids + " " + gids
}

func parseIDs(text string) (idmap.Map, error) {
	uids, gids, _ := strings.Cut(text, " ")
	return idmap.Parse(uids, gids)
}

// idsOf reads the labels of an init layer.
func idsOf(init snapshots.Info) (ids IDs, err error) {
	text, err := joinLabel(init, labelIDs)
	if err != nil || text == "" {
		return ids, err
	}
	word, mapping, _ := strings.Cut(text, " ")
	if ids.Map, err = parseIDs(mapping); err != nil {
		return ids, fmt.Errorf("label %s of snapshot %s: %w", labelIDs, init.Name, err)
	}
	for way, name := range idWays {
		if name == word {
			ids.Way = way
		}
	}
	return ids, nil
}

// hostIDs is the label of a revision that an active snapshot becomes whose
// writer's ids are mapped.
func hostIDs(active snapshots.Info) (map[string]string, error) {
	m, ok, err := snapshotter.MappedFromLabels(active.Labels)
	if err != nil || !ok {
		return nil, err
	}
	return splitLabel(labelHostIDs, formatIDs(m)), nil
}

// unmap gives the files of a revision the image's ids: layers below a mounted
// one are all mapped alike. Nothing stands on it yet.
func (h *History) unmap(ctx context.Context, i snapshots.Info) error {
	text, err := joinLabel(i, labelHostIDs)
	if err != nil {
		return err
	}
	m, err := parseIDs(text)
	if err != nil {
		return fmt.Errorf("label %s of snapshot %s: %w", labelHostIDs, i.Name, err)
	}
	folder, err := h.folder(ctx, i)
	if err == nil {
		err = snapshotter.Durably(ctx, folder, func() (stats snapshotter.SealStats, err error) {
			stats.Changes, err = snapshotter.UnmapUpper(ctx, folder, m)
			return stats, err
		})
	}
	if err != nil {
		return fmt.Errorf("map ids of snapshot %s: %w", i.Name, err)
	}
	keys := slices.Collect(maps.Keys(splitLabel(labelHostIDs, text)))
	maps.DeleteFunc(i.Labels, func(key, _ string) bool { return slices.Contains(keys, key) })
	return h.unlabel(ctx, i.Name, keys...)
}
