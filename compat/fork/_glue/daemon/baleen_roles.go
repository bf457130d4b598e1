package daemon

import (
	"context"
	"errors"

	"github.com/opencontainers/selinux/go-selinux/label"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// baleenRoles is what the daemon does for package lifecycle.
type baleenRoles struct{ daemon *Daemon }

var _ lifecycle.Daemon = baleenRoles{}

var probeDefaults = lifecycle.ProbeDefaults{
	Interval:    defaultProbeInterval,
	Timeout:     defaultProbeTimeout,
	StartPeriod: defaultStartPeriod,
	Retries:     defaultProbeRetries,
}

func (r baleenRoles) Find(name string) (*moby.Container, error) {
	return r.daemon.GetContainer(name)
}

func (r baleenRoles) Stop(ctx context.Context, c *moby.Container) error {
	return r.daemon.containerStop(ctx, c, moby.ContainerStopOptions{})
}

func (r baleenRoles) Start(ctx context.Context, c *moby.Container) error {
	return r.daemon.containerStart(ctx, r.daemon.config(), c, "", "", true)
}

func (r baleenRoles) Kill(ctx context.Context, c *moby.Container) error {
	if err := killContainer(ctx, r.daemon, c); err != nil && !isNotRunning(err) {
		return err
	}
	return nil
}

func (r baleenRoles) IsShuttingDown() bool { return r.daemon.IsShuttingDown() }

func (r baleenRoles) Save(ctx context.Context, c *moby.Container) error {
	return c.CheckpointTo(ctx, r.daemon.containersReplica)
}

func (r baleenRoles) IsProbed(c *moby.Container) bool { return getProbe(c) != nil }

func (r baleenRoles) MakeWorkDir(c *moby.Container) error {
	return c.SetupWorkingDirectory(r.daemon.idMapping.RootPair())
}

func (r baleenRoles) Add(ctx context.Context, c *moby.Container, path string) error {
	v, err := r.daemon.volumes.Create(ctx, "", c.HostConfig.VolumeDriver, withCreateReference(c.ID))
	if err != nil {
		return err
	}
	c.AddMountPointWithVolume(path, &volumeWrapper{v: v, s: r.daemon.volumes}, true)
	return label.Relabel(v.Mountpoint, c.MountLabel, true)
}

func (r baleenRoles) Fill(ctx context.Context, c *moby.Container, path string) error {
	return r.daemon.populateVolume(ctx, c, c.MountPoints[path])
}

func (r baleenRoles) Remove(ctx context.Context, c *moby.Container, volume string) error {
	return errors.Join(r.daemon.volumes.Release(ctx, volume, c.ID), r.daemon.volumes.Remove(ctx, volume))
}

func (r baleenRoles) UnmountRoot(c *moby.Container) error { return r.daemon.Unmount(c) }

func (r baleenRoles) Log(c *moby.Container, action moby.EventAction, attributes map[string]string) {
	r.daemon.LogContainerEventWithAttributes(c, action, attributes)
}
