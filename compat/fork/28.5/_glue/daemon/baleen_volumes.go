package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/docker/container"
	volumeopts "github.com/docker/docker/volume/service/opts"
	"github.com/opencontainers/selinux/go-selinux/label"
)

// addVolumes makes what an image's configuration asks for at the creation of a
// container, for one that has moved to that image: its working directory, and
// a volume for each path that has no mount yet, filled from the container's
// files. It returns the paths. Existing mounts stay as they are.
func (daemon *Daemon) addVolumes(ctx context.Context, c *container.Container) (added []string, err error) {
	service, err := daemon.baleenService()
	if err != nil {
		return nil, err
	}
	// What this writes to the container's files the next start would write again.
	root, err := service.MountUnnoted(c.RWLayer)
	if err != nil {
		return nil, err
	}
	c.BaseFS = root
	defer func() { err = errors.Join(err, daemon.Unmount(c)) }()
	if err := c.SetupWorkingDirectory(daemon.idMapping.RootPair()); err != nil {
		return nil, err
	}
	for spec := range c.Config.Volumes {
		path := filepath.Clean(spec)
		if c.HasMountFor(path) {
			continue
		}
		if err := daemon.addVolume(ctx, c, path); err != nil {
			return added, fmt.Errorf("volume %s: %w", path, err)
		}
		added = append(added, path)
	}
	return added, nil
}

func (daemon *Daemon) addVolume(ctx context.Context, c *container.Container, path string) error {
	at, err := c.GetResourcePath(path)
	if err != nil {
		return err
	}
	if i, err := os.Stat(at); err == nil && !i.IsDir() {
		return errors.New("the container has a file there")
	}
	v, err := daemon.volumes.Create(ctx, "", c.HostConfig.VolumeDriver, volumeopts.WithCreateReference(c.ID))
	if err != nil {
		return err
	}
	c.AddMountPointWithVolume(path, &volumeWrapper{v: v, s: daemon.volumes}, true)
	if err := label.Relabel(v.Mountpoint, c.MountLabel, true); err != nil {
		return errors.Join(err, daemon.dropVolumes(ctx, c, []string{path}))
	}
	if err := daemon.populateVolume(ctx, c, c.MountPoints[path]); err != nil {
		return errors.Join(err, daemon.dropVolumes(ctx, c, []string{path}))
	}
	return nil
}

// dropVolumes undoes addVolumes.
func (daemon *Daemon) dropVolumes(ctx context.Context, c *container.Container, paths []string) (err error) {
	for _, path := range paths {
		m := c.MountPoints[path]
		if m == nil || m.Volume == nil {
			continue
		}
		delete(c.MountPoints, path)
		name := m.Volume.Name()
		err = errors.Join(err, daemon.volumes.Release(ctx, name, c.ID), daemon.volumes.Remove(ctx, name))
	}
	return err
}
