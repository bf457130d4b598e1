package daemon

import (
	"context"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
)

// baleenState is what the daemon keeps for Baleen: nothing, if its images are a graph
// driver's.
type baleenState struct {
	operations *lifecycle.Operations
	images     *lifecycle.Images
	freezer    *freeze.Freezer
}

// loadLayer finds the layer of a container that the daemon loads.
func (daemon *Daemon) loadLayer(c *moby.Container) (moby.RWLayer, error) {
	if daemon.baleen.operations == nil {
		return daemon.imageService.GetLayerByID(c.ID)
	}
	return daemon.baleen.operations.Load(context.Background(), c) // Moby loads containers without one
}

// mayStart is called with the container locked, at every start.
func (daemon *Daemon) mayStart(ctx context.Context, c *moby.Container) error {
	return daemon.baleen.operations.MayStart(ctx, c)
}

// endWork comes before the removal of a container.
func (daemon *Daemon) endWork(c *moby.Container, opts *moby.ContainerRmConfig) error {
	return daemon.baleen.operations.EndWork(context.Background(), c, opts.ForceRemove) // as Moby removes containers
}

// endOperations ends what is under way when the daemon begins to shut down.
func (daemon *Daemon) endOperations(ctx context.Context) { daemon.baleen.operations.Shutdown(ctx) }

// ContainerSnapshot keeps a container's present state as a revision.
func (daemon *Daemon) ContainerSnapshot(ctx context.Context, name string, req api.SnapshotRequest) (api.Revision, error) {
	return daemon.baleen.operations.Snapshot(ctx, name, req)
}

// ContainerRevisions lists the kept states of a container.
func (daemon *Daemon) ContainerRevisions(ctx context.Context, name string) ([]api.Revision, error) {
	return daemon.baleen.operations.Revisions(ctx, name)
}

// ContainerRevisionsPrune removes kept states of a container.
func (daemon *Daemon) ContainerRevisionsPrune(ctx context.Context, name string, req api.PruneRequest) (api.PruneReport, error) {
	return daemon.baleen.operations.Prune(ctx, name, req)
}

// ContainerUpgrade moves a container to another image.
func (daemon *Daemon) ContainerUpgrade(ctx context.Context, name string, req api.UpgradeRequest, emit func(api.Progress)) error {
	return daemon.baleen.operations.Upgrade(ctx, name, req, emit)
}

// ContainerRollback moves a container to one of its revisions.
func (daemon *Daemon) ContainerRollback(ctx context.Context, name string, req api.RollbackRequest, emit func(api.Progress)) error {
	return daemon.baleen.operations.Rollback(ctx, name, req, emit)
}

// BaleenCheck looks for what is wrong with what the daemon has in containerd.
func (daemon *Daemon) BaleenCheck(ctx context.Context, req api.CheckRequest) (api.CheckReport, error) {
	return daemon.baleen.operations.Check(ctx, daemon.containers, daemon.repository, req)
}

// baleenService is Baleen's image service, if the daemon has it.
func (daemon *Daemon) baleenService() (*imageservice.Service, error) {
	if verbs, ok := daemon.imageService.(imageVerbs); ok {
		return verbs.Service, nil
	}
	return nil, lifecycle.ErrOff()
}
