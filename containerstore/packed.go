package containerstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
)

// Packed returns the layer that a sealed snapshot was packed as; ok is false if
// it has not been.
func (h *History) Packed(ctx context.Context, name string) (layer diff.Layer, ok bool, err error) {
	info, err := h.Snapshots.Stat(ctx, name)
	if err != nil {
		return layer, false, fmt.Errorf("look up snapshot %s: %w", name, err)
	}
	text := info.Labels[label.Packed]
	if text == "" {
		return layer, false, nil
	}
	if err := json.Unmarshal([]byte(text), &layer); err != nil {
		log.G(ctx).WithError(err).WithField("snapshot", name).Warn("label " + label.Packed + " cannot be read; packing the snapshot again")
		return diff.Layer{}, false, nil
	}
	return layer, true, nil
}

// NotePacked notes what a sealed snapshot was packed as.
func (h *History) NotePacked(ctx context.Context, name string, layer diff.Layer) error {
	text, err := json.Marshal(layer)
	if err != nil {
		return fmt.Errorf("encode layer %s: %w", layer.DiffID, err)
	}
	return h.store().Label(ctx, name, map[string]string{label.Packed: string(text)})
}
