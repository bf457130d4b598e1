package imageservice

import (
	"github.com/containerd/containerd/v2/plugins"

	"github.com/baleen-project/baleen/compat/version"
)

// StorageDriver returns the name of the snapshotter that new containers get.
func (s *Service) StorageDriver() string {
	return s.files.Snapshotter
}

// LayerStoreStatus returns the lines that `docker info` shows below the
// storage driver's name. Clients tell the containerd store from a graph driver
// by the first.
func (s *Service) LayerStoreStatus() [][2]string {
	return [][2]string{
		{"driver-type", string(plugins.SnapshotPlugin)},
		{"Image Service", "Baleen " + version.Version},
	}
}
