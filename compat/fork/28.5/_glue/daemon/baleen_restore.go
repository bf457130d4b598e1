package daemon

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/backend"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/container"
	"github.com/docker/docker/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

// restoreContainer creates the container of a checkpoint, and starts it. It does not
// panic.
func (daemon *Daemon) restoreContainer(ctx context.Context, r *imageservice.Restore, req api.RestoreRequest, status func(string)) (_ api.Restored, err error) {
	of := &restoring{Restore: r}
	defer func() {
		if err != nil {
			err = daemon.takeBack(ctx, of.container, err)
		}
	}()
	defer errorOfPanic(ctx, &err)
	if r.Process != nil && !req.CreateOnly {
		if err := restorable(ctx, r.CRIU); err != nil {
			return api.Restored{}, errdefs.NotImplemented(fmt.Errorf("cannot restore the processes of %s: %w (--create-only makes the container without them)", req.Ref, err))
		}
	}
	params, warnings, err := daemon.restoreParams(ctx, r, req.Name)
	if err != nil {
		return api.Restored{}, err
	}
	status("creating the container")
	created, err := daemon.ContainerCreate(context.WithValue(ctx, restoreKey{}, of), params)
	if err != nil {
		return api.Restored{}, err
	}
	if err := daemon.completeRestore(ctx, of.container, r, req.CreateOnly, status); err != nil {
		return api.Restored{}, err
	}
	return api.Restored{
		ID: created.ID, Name: bare(of.container), Kind: r.Kind, Started: !req.CreateOnly,
		Warnings: slices.Concat(r.Warnings, warnings, created.Warnings),
	}, nil
}

// restoreParams is how the container is created. What it needs of the daemon is
// looked for before there is anything of it.
func (daemon *Daemon) restoreParams(ctx context.Context, r *imageservice.Restore, name string) (params backend.ContainerCreateConfig, warnings []string, err error) {
	for network := range r.Networks {
		if _, err := daemon.FindNetwork(network); err != nil && network != networktypes.NetworkDefault {
			return params, nil, errdefs.NotFound(fmt.Errorf("the container was connected to network %s, which this daemon does not have: create it first", network))
		}
	}
	if name == "" {
		name = r.Name
	}
	config := *r.Config
	config.Image = r.Image
	params = backend.ContainerCreateConfig{
		Name: name, Config: &config, HostConfig: r.Host,
		NetworkingConfig: &networktypes.NetworkingConfig{EndpointsConfig: r.Networks},
	}
	if r.Image != "" {
		params.Platform = &r.Platform
	}
	return daemon.asRequest(ctx, params)
}

type restoreKey struct{}

// restoring is a restore under way; it has no container before its layer is made.
type restoring struct {
	*imageservice.Restore
	container *container.Container
}

// newLayer makes the writable layer of a new container: an empty one, or that of
// the checkpoint which the container is made of. The container calls its image
// then what the one did that was checkpointed.
func (daemon *Daemon) newLayer(ctx context.Context, c *container.Container) (container.RWLayer, error) {
	init := setupInitLayer(daemon.idMapping.RootPair())
	r, ok := ctx.Value(restoreKey{}).(*restoring)
	if !ok {
		if err := daemon.creating(c); err != nil {
			return nil, err
		}
		if service, err := daemon.baleenService(); err == nil {
			return service.CreateLayerContext(ctx, c, init)
		}
		return daemon.imageService.CreateLayer(c, init)
	}
	if err := markRestoring(c.Root); err != nil {
		return nil, err
	}
	r.container = c
	c.Config.Image = r.Config.Image
	return r.CreateLayer(ctx, c, init)
}

// completeRestore starts a new container. It is done also if the request ends.
func (daemon *Daemon) completeRestore(ctx context.Context, c *container.Container, r *imageservice.Restore, createOnly bool, status func(string)) error {
	ctx = context.WithoutCancel(ctx)
	daemon.LogContainerEvent(c, "restore")
	var err error
	switch {
	case createOnly:
	case r.Process != nil:
		status("restoring the processes")
		err = daemon.startRestored(ctx, c, r)
	default:
		status("starting the container")
		err = daemon.ContainerStart(ctx, c.ID, "", "")
	}
	if err != nil {
		return err
	}
	return unmarkRestoring(c.Root)
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
