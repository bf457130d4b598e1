package daemon

import (
	"context"
	"errors"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/selinux/go-selinux/label"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
)

// baleenRoles is what the daemon does for packages lifecycle and freeze.
type baleenRoles struct{ *Daemon }

var probeDefaults = lifecycle.ProbeDefaults{
	Interval:    defaultProbeInterval,
	Timeout:     defaultProbeTimeout,
	StartPeriod: defaultStartPeriod,
	Retries:     defaultProbeRetries,
}

func (r baleenRoles) Stop(ctx context.Context, c *moby.Container) error {
	return r.containerStop(ctx, c, moby.ContainerStopOptions{})
}

func (r baleenRoles) Start(ctx context.Context, c *moby.Container) error {
	return r.containerStart(ctx, r.config(), c, "", "", true)
}

func (r baleenRoles) Kill(ctx context.Context, c *moby.Container) error {
	if err := killContainer(ctx, r.Daemon, c); err != nil && !isNotRunning(err) {
		return err
	}
	return nil
}

func (r baleenRoles) Save(ctx context.Context, c *moby.Container) error {
	return c.CheckpointTo(ctx, r.containersReplica)
}

func (r baleenRoles) IsProbed(c *moby.Container) bool { return getProbe(c) != nil }

func (r baleenRoles) MakeWorkDir(c *moby.Container) error {
	return c.SetupWorkingDirectory(r.idMapping.RootPair())
}

func (r baleenRoles) Add(ctx context.Context, c *moby.Container, path string) error {
	v, err := r.volumes.Create(ctx, "", c.HostConfig.VolumeDriver, withCreateReference(c.ID))
	if err != nil {
		return err
	}
	c.AddMountPointWithVolume(path, &volumeWrapper{v: v, s: r.volumes}, true)
	return label.Relabel(v.Mountpoint, c.MountLabel, true)
}

func (r baleenRoles) Fill(ctx context.Context, c *moby.Container, path string) error {
	return r.populateVolume(ctx, c, c.MountPoints[path])
}

func (r baleenRoles) Release(ctx context.Context, c *moby.Container, volume string) error {
	return r.volumes.Release(ctx, volume, c.ID)
}

func (r baleenRoles) Remove(ctx context.Context, c *moby.Container, volume string) error {
	return errors.Join(r.Release(ctx, c, volume), r.volumes.Remove(ctx, volume))
}

func (r baleenRoles) Log(c *moby.Container, action moby.EventAction, attributes map[string]string) {
	r.LogContainerEventWithAttributes(c, action, attributes)
}

func (r baleenRoles) Pause(c *moby.Container) error   { return r.containerPause(c) }
func (r baleenRoles) Unpause(c *moby.Container) error { return r.containerUnpause(c) }

func (r baleenRoles) Resumed(c *moby.Container) error {
	return r.ProcessEvent(c.ID, moby.TaskResumed, moby.TaskEventInfo{})
}

func (r baleenRoles) ShowsPaused(c *moby.Container) bool {
	s, err := r.containersReplica.Snapshot().Get(c.ID)
	return err == nil && s.Paused
}

func (r baleenRoles) UnrecordedTask(ctx context.Context, c *moby.Container) (containerd.Task, error) {
	return r.baleen().operations.UnrecordedTask(ctx, c)
}
