package plugin

import (
	"fmt"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/differ"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// Name is the name of both plugins.
const Name = "baleen"

// Config is the table [plugins."io.containerd.snapshotter.v1.baleen"].
type Config struct {
	// RootPath is the folder of the snapshots, instead of the one below
	// containerd's root.
	RootPath string `toml:"root_path"`
	// MountOptions are added to every overlay mount.
	MountOptions []string `toml:"mount_options"`
}

// DifferConfig is the table [plugins."io.containerd.differ.v1.baleen"].
type DifferConfig struct {
	// MaxLayerSize is the size over which layers are neither made nor unpacked, as
	// "2TiB"; [diff.DefaultMaxLayer] if it is empty.
	MaxLayerSize string `toml:"max_layer_size"`
}

func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.SnapshotPlugin, ID: Name, Config: &Config{}, InitFn: openSnapshotter,
	})
	registry.Register(&plugin.Registration{
		Type: plugins.DiffPlugin, ID: Name, Config: &DifferConfig{}, Requires: []plugin.Type{plugins.MetadataPlugin}, InitFn: openDiffer,
	})
}

func openSnapshotter(ic *plugin.InitContext) (any, error) {
	config, ok := ic.Config.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration is a %T: %w", ic.Config, errdefs.ErrInvalidArgument)
	}
	root := config.RootPath
	if root == "" {
		root = ic.Properties[plugins.PropertyRootDir]
	}
	sn, err := overlay.New(root, overlay.WithMountOptions(config.MountOptions...))
	if err != nil {
		return nil, err
	}
	ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
	ic.Meta.Capabilities = append(ic.Meta.Capabilities, sn.Capabilities()...)
	ic.Meta.Exports[plugins.SnapshotterRootDir] = root
	return sn, nil
}

func openDiffer(ic *plugin.InitContext) (any, error) {
	config, ok := ic.Config.(*DifferConfig)
	if !ok {
		return nil, fmt.Errorf("configuration is a %T: %w", ic.Config, errdefs.ErrInvalidArgument)
	}
	limit := diff.Limit{Allow: "max_layer_size of the differ " + Name + " in containerd's configuration, such as 2TiB, says how much is allowed"}
	if config.MaxLayerSize != "" {
		var err error
		if limit.Bytes, err = diff.ParseLimit(config.MaxLayerSize); err != nil {
			return nil, err
		}
	}
	db, err := ic.GetSingle(plugins.MetadataPlugin)
	if err != nil {
		return nil, err
	}
	m, ok := db.(*metadata.DB)
	if !ok {
		return nil, fmt.Errorf("metadata plugin is a %T: %w", db, errdefs.ErrFailedPrecondition)
	}
	ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
	return differ.New(m.ContentStore(), differ.Options{Limit: limit}), nil
}
