package containerstore

import (
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
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

var idWays = map[IDWay]string{Mounted: "mounted", Remapped: "remapped"}

// InitLabels are the labels of the container's init layer.
func (i IDs) InitLabels() map[string]string {
	if i.Way == AsStored {
		return nil
	}
	return snap.SplitLabel(label.IDs, idWays[i.Way]+" "+snap.FormatIDs(i.Map))
}

// ActiveLabels are the labels of its active snapshot, on its birth and later.
func (i IDs) ActiveLabels() map[string]string {
	if i.Way != Mounted {
		return nil
	}
	return snapshotter.MappedLabels(i.Map)
}

// idsOf reads the labels of an init layer.
func idsOf(init snapshots.Info) (ids IDs, err error) {
	text, err := snap.JoinLabel(init, label.IDs)
	if err != nil || text == "" {
		return ids, err
	}
	word, mapping, _ := strings.Cut(text, " ")
	if ids.Map, err = snap.ParseIDs(mapping); err != nil {
		return ids, fmt.Errorf("label %s of snapshot %s: %w", label.IDs, init.Name, err)
	}
	for way, name := range idWays {
		if name == word {
			ids.Way = way
		}
	}
	return ids, nil
}
