package daemon

import (
	"context"
	"strconv"

	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

// ContainerSnapshot keeps a container's present state as a revision.
func (daemon *Daemon) ContainerSnapshot(ctx context.Context, name string, req api.SnapshotRequest) (api.Revision, error) {
	request := ctx
	ctx, c, service, end, err := daemon.begin(ctx, name, "a snapshot")
	if err != nil {
		return api.Revision{}, err
	}
	defer end()
	ctx, stop := until(ctx, request)
	defer stop()
	made, err := service.Snapshot(daemon.pauseForCommit(ctx, c), c, imageservice.SnapshotOptions{Message: req.Message})
	if err != nil {
		return api.Revision{}, compat.DockerError(err)
	}
	daemon.logRevision(c, "snapshot", made, "")
	return made, nil
}

// ContainerRevisions lists the kept states of a container.
func (daemon *Daemon) ContainerRevisions(ctx context.Context, name string) ([]api.Revision, error) {
	service, err := daemon.baleenService()
	if err != nil {
		return nil, err
	}
	c, err := daemon.GetContainer(name)
	if err != nil {
		return nil, err
	}
	list, err := service.Revisions(ctx, c)
	return list, compat.DockerError(err)
}

// ContainerRevisionsPrune removes kept states of a container.
func (daemon *Daemon) ContainerRevisionsPrune(ctx context.Context, name string, req api.PruneRequest) (api.PruneReport, error) {
	request := ctx
	ctx, c, service, end, err := daemon.begin(ctx, name, "a removal of revisions")
	if err != nil {
		return api.PruneReport{}, err
	}
	defer end()
	ctx, stop := until(ctx, request)
	defer stop()
	report, err := service.PruneRevisions(ctx, c, req)
	return report, compat.DockerError(err)
}

// ContainerUpgrade moves a container to another image. See [move].
func (daemon *Daemon) ContainerUpgrade(ctx context.Context, name string, req api.UpgradeRequest, tell func(api.Progress)) error {
	policy, err := imageservice.ParsePolicy(req.Policy, req.Paths)
	if err != nil {
		return err
	}
	m := &move{
		daemon:   daemon,
		tell:     tell,
		request:  ctx,
		action:   "upgrade",
		dryRun:   req.DryRun,
		noStart:  req.NoStart,
		watch:    true,
		patience: req.HealthTimeout,
	}
	m.prepare = func(ctx context.Context, dryRun bool) (*imageservice.Move, error) {
		return m.service.PrepareUpgrade(ctx, m.c, imageservice.UpgradeOptions{
			Image:   req.Image,
			Message: req.Message,
			Init:    setupInitLayer(daemon.idMapping.RootPair()),
			Policy:  policy,
			DryRun:  dryRun,
		})
	}
	return m.run(name, "an upgrade")
}

// ContainerRollback moves a container to one of its revisions. See [move].
func (daemon *Daemon) ContainerRollback(ctx context.Context, name string, req api.RollbackRequest, tell func(api.Progress)) error {
	policy, err := imageservice.ParsePolicy(req.Policy, req.Paths)
	if err != nil {
		return err
	}
	m := &move{
		daemon:  daemon,
		tell:    tell,
		request: ctx,
		action:  "rollback",
		dryRun:  req.DryRun,
		noStart: req.NoStart,
	}
	m.prepare = func(ctx context.Context, dryRun bool) (*imageservice.Move, error) {
		return m.service.PrepareRollback(ctx, m.c, imageservice.RollbackOptions{
			Revision: req.Revision,
			Message:  req.Message,
			Carry:    req.Carry,
			Policy:   policy,
			DryRun:   dryRun,
		})
	}
	return m.run(name, "a rollback")
}

// logRevision tells the world what became of a container's revisions. from is
// the name of the image that it had.
func (daemon *Daemon) logRevision(c *container.Container, action events.Action, r api.Revision, from string) {
	attributes := map[string]string{"revision": strconv.Itoa(r.Number)}
	if from != "" {
		attributes["from"] = from
	}
	daemon.LogContainerEventWithAttributes(c, action, attributes)
}

// until returns a context that ends with the request as well.
func until(ctx, request context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(request, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// adopt writes the state of a container's files into its record.
func adopt(c *container.Container, s imageservice.State) {
	c.Config = s.Config
	if commanded(s.Config) {
		c.Path, c.Args = getEntrypointAndArgs(s.Config.Entrypoint, s.Config.Cmd)
	}
	c.ImageID = s.ImageID
	c.ImageManifest = s.Manifest
	c.ImagePlatform = s.Platform
	c.OS = s.Platform.OS //nolint:staticcheck // ignore SA1019: field is deprecated, but still set for compatibility
	if getProbe(c) == nil {
		c.State.Health = nil // was the other image's
	}
}

// commanded reports whether there is anything to run.
func commanded(config *containertypes.Config) bool {
	return len(config.Entrypoint)+len(config.Cmd) > 0
}
