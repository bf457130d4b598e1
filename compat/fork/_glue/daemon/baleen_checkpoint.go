package daemon

import (
	"context"
	"errors"

	"github.com/baleen-project/baleen/compat/moby"
)

// checkpointRoles are the roles of packages checkpoint and unfinished.
type checkpointRoles struct{ *Daemon }

func (r checkpointRoles) FindNetwork(name string) error {
	_, err := r.Daemon.FindNetwork(name)
	return err
}

func (r checkpointRoles) Start(ctx context.Context, c *moby.Container) error {
	return r.ContainerStart(ctx, c.ID, "", "")
}

func (r checkpointRoles) StartFrom(ctx context.Context, c *moby.Container, checkpoint string) error {
	return r.containerStart(ctx, r.config(), c, checkpoint, "", true)
}

func (r checkpointRoles) LoadTask(ctx context.Context, c *moby.Container) error {
	return c.RestoreTask(ctx, r.containerd)
}

func (r checkpointRoles) Remove(c *moby.Container) error {
	return r.ContainerRm(c.ID, &moby.ContainerRmConfig{ForceRemove: true, RemoveVolume: true})
}

func (r checkpointRoles) RemoveUnregistered(c *moby.Container) error {
	return r.cleanupContainer(c, moby.ContainerRmConfig{ForceRemove: true, RemoveVolume: true})
}

// PlainHostConfig is what a container gets of which nothing is asked.
func (r checkpointRoles) PlainHostConfig() (*moby.HostConfig, error) {
	config, host := r.config(), &moby.HostConfig{}
	if _, err := r.verifyContainerSettings(config, host, nil, false); err != nil {
		return nil, moby.System(err)
	}
	return host, moby.System(errors.Join(r.adaptContainerSettings(&config.Config, host), r.mergeAndVerifyLogConfig(&host.LogConfig)))
}
