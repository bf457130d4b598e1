package overlay

import (
	"errors"
	"os"
	"path/filepath"
)

// CapabilitiesAt tells what [Snapshotter.Capabilities] would of a root that is
// not open, and need not be there yet: for configuration that announces it. It
// takes root's rights.
func CapabilitiesAt(root string) ([]string, error) {
	for {
		_, err := os.Stat(root)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || root == filepath.Dir(root) {
			return nil, err
		}
		root = filepath.Dir(root)
	}
	if ok, err := remapsIDs(root); err != nil || !ok {
		return nil, err
	}
	return []string{CapabilityRemapIDs}, nil
}
