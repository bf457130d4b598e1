package unfinished

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
)

// record is the name of a container's record in its folder.
const record = "config.v2.json"

// dropUnloaded removes what there is of a container that the daemon has not loaded,
// because it was being made, or removed. A container stays that is whole but for its
// loading.
func (r *Cleaner) dropUnloaded(ctx context.Context, root string) error {
	id := filepath.Base(root)
	recorded, err := r.recordedHere(root)
	if err != nil {
		return err
	}
	if _, err := r.Layers.GetLayerByID(id); recorded && !errdefs.IsNotFound(err) {
		return errors.New("the container has not been loaded")
	}
	if err := r.Layers.DropLayer(ctx, id); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// recordedHere reports whether a folder has the record of the container that the folder
// is named after. It returns an error if this daemon would not find the container's
// layer anyway, because it is of another storage driver or the folder is a copy; and if
// the container has been started: that is whole, whatever is missing now, such as
// containerd's disk.
func (r *Cleaner) recordedHere(root string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(root, record))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var recorded struct {
		ID, Driver string
		State      struct{ StartedAt time.Time }
	}
	if err == nil {
		err = json.Unmarshal(text, &recorded)
	}
	if err != nil {
		return false, fmt.Errorf("read the container's record: %w", err)
	}
	if recorded.ID != filepath.Base(root) || recorded.Driver != r.Layers.StorageDriver() {
		return false, fmt.Errorf("it is container %s with storage driver %s: it stays", recorded.ID, recorded.Driver)
	}
	if !recorded.State.StartedAt.IsZero() {
		return false, errors.New("it has been started, and could not be loaded: it stays")
	}
	return true, nil
}
