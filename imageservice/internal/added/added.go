// Package added tells the volumes of a container that came with an upgrade from those that
// were there when the container was created.
package added

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/baleen-project/baleen/compat/moby"
)

// label, in the mount point of a container's record, has the id of the container if the
// volume was not there when the container was created: an upgrade brought it. Another
// container that is created with --volumes-from gets the label too, but is not in it.
const label = "io.baleen.added"

// Mark notes that an upgrade brought the volume of a mount point.
func Mark(c *moby.Container, m *moby.MountPoint) {
	m.Spec.VolumeOptions = &moby.VolumeOptions{Labels: map[string]string{label: c.ID}}
}

// Paths returns where the volumes of a container are mounted that came with an upgrade and
// that a configuration does not ask for, in their order.
func Paths(c *moby.Container, config *moby.ContainerConfig) (paths []string) {
	asked := map[string]bool{}
	if config != nil {
		for path := range config.Volumes {
			asked[filepath.Clean(path)] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(c.MountPoints)) {
		m := c.MountPoints[path]
		isVolume := m.Volume != nil || m.Type == moby.MountTypeVolume
		if isVolume && !asked[path] && m.Spec.VolumeOptions != nil && m.Spec.VolumeOptions.Labels[label] == c.ID {
			paths = append(paths, path)
		}
	}
	return paths
}

// Volumes returns the names of the volumes on the Paths; it is not nil.
func Volumes(c *moby.Container, config *moby.ContainerConfig) []string {
	names := []string{}
	for _, path := range Paths(c, config) {
		names = append(names, Name(c.MountPoints[path]))
	}
	return names
}

// Name is that of the volume of a mount point, which may not have been looked up yet.
func Name(m *moby.MountPoint) string {
	if m.Volume != nil {
		return m.Volume.Name()
	}
	return m.Name
}
