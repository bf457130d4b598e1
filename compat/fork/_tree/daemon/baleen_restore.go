package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/backend"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

// restoreContainer creates the container of a checkpoint, and starts it.
func (daemon *Daemon) restoreContainer(ctx context.Context, r *imageservice.Restore, req api.RestoreRequest, status func(string)) (api.Restored, error) {
	if r.Process != nil && !req.CreateOnly {
		if err := restorable(ctx, r.CRIU); err != nil {
			return api.Restored{}, errdefs.NotImplemented(fmt.Errorf("cannot restore the processes of %s: %w (--create-only makes the container without them)", req.Ref, err))
		}
	}
	params, err := daemon.restoreParams(r, req.Name)
	if err != nil {
		return api.Restored{}, err
	}
	status("creating the container")
	asked := r.Config.Image
	params.Config.Image = r.Image
	created, err := daemon.ContainerCreate(context.WithValue(ctx, restoreKey{}, r), params)
	if err != nil {
		return api.Restored{}, err
	}
	made := api.Restored{ID: created.ID, Kind: r.Kind, Warnings: append(r.Warnings, created.Warnings...)}
	c, err := daemon.GetContainer(created.ID)
	if err == nil {
		made.Name = bare(c)
		err = daemon.completeRestore(ctx, c, r, asked, req.CreateOnly, status)
	}
	if err != nil {
		return api.Restored{}, errors.Join(err, daemon.removeRestored(created.ID))
	}
	made.Started = !req.CreateOnly
	return made, nil
}

// removeRestored removes a container that did not come up. One that was created
// with --rm may be on its way out already.
func (daemon *Daemon) removeRestored(id string) error {
	err := daemon.ContainerRm(id, &backend.ContainerRmConfig{ForceRemove: true, RemoveVolume: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// restoreParams is how the container is created. What it needs of the daemon is
// looked for before there is anything of it.
func (daemon *Daemon) restoreParams(r *imageservice.Restore, name string) (params backend.ContainerCreateConfig, err error) {
	for network := range r.Networks {
		if _, err := daemon.FindNetwork(network); err != nil && network != networktypes.NetworkDefault {
			return params, errdefs.NotFound(fmt.Errorf("the container was connected to network %s, which this daemon does not have: create it first", network))
		}
	}
	if name == "" {
		name = r.Name
	}
	params = backend.ContainerCreateConfig{
		Name: name, Config: r.Config, HostConfig: r.Host,
		NetworkingConfig: &networktypes.NetworkingConfig{EndpointsConfig: r.Networks},
	}
	if r.Image != "" {
		params.Platform = &r.Platform
	}
	return params, nil
}

// completeRestore has a new container call its image what the one did that was
// checkpointed, and starts it. It is done also if the request ends.
func (daemon *Daemon) completeRestore(ctx context.Context, c *container.Container, r *imageservice.Restore, image string, createOnly bool, status func(string)) error {
	ctx = context.WithoutCancel(ctx)
	c.Lock()
	c.Config.Image = image
	err := c.CheckpointTo(ctx, daemon.containersReplica)
	c.Unlock()
	if err != nil {
		return fmt.Errorf("write the record of the container: %w", err)
	}
	daemon.LogContainerEvent(c, "restore")
	if createOnly {
		return nil
	}
	if r.Process != nil {
		status("restoring the processes")
		process, err := r.UnpackProcess(ctx)
		if err != nil {
			return compat.DockerError(err)
		}
		return daemon.startRestored(ctx, c, process)
	}
	status("starting the container")
	return daemon.ContainerStart(ctx, c.ID, "", "")
}

// restorable says why processes cannot be restored that a version of CRIU kept.
func restorable(ctx context.Context, kept string) error {
	version, err := criuVersion(ctx)
	if err != nil {
		return err
	}
	if older(version, kept) {
		return fmt.Errorf("CRIU %s kept them, and the daemon has %s, which is older", kept, version)
	}
	return nil
}

// older compares versions such as 4.2.1. What is no number counts as 0.
func older(a, b string) bool {
	numbers := func(version string) []int {
		var of []int
		for part := range strings.SplitSeq(version, ".") {
			n, _ := strconv.Atoi(part)
			of = append(of, n)
		}
		return of
	}
	return slices.Compare(numbers(a), numbers(b)) < 0
}
