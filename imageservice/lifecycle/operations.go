package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/check"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// Config is what [Operations] work with. All fields are needed.
type Config struct {
	Daemon  Daemon
	Files   Files
	Tasks   Tasks
	Freezer Freezer
	Images  *Images // of the same daemon's containers
	// InitLayer fills an init layer, given the folder in which it is mounted.
	InitLayer moby.InitLayerFunc
	Probe     ProbeDefaults
}

// Operations are the operations on the revisions of a daemon's containers. Their methods
// may be called at the same time, also for one container. See the package comment for
// a nil one.
type Operations struct {
	daemon  Daemon
	files   Files
	tasks   Tasks
	freezer Freezer
	images  *Images
	init    moby.InitLayerFunc
	probe   ProbeDefaults
	guard   guard
}

// New returns the operations of a daemon.
func New(c Config) *Operations {
	return &Operations{daemon: c.Daemon, files: c.Files, tasks: c.Tasks, freezer: c.Freezer, images: c.Images, init: c.InitLayer, probe: c.Probe}
}

// Snapshot keeps a container's present state as a revision.
func (o *Operations) Snapshot(ctx context.Context, name string, req api.SnapshotRequest) (made api.Revision, err error) {
	err = o.Do(ctx, name, "a snapshot", func(ctx context.Context, c *moby.Container) error {
		made, err = o.files.Snapshot(ctx, c, revisions.SnapshotOptions{Message: req.Message, Pause: o.freezer.Pause(ctx, c)})
		if err != nil {
			return compat.DockerError(err)
		}
		o.log(c, "snapshot", made, "")
		return nil
	})
	return made, err
}

// Revisions lists the kept states of a container, the oldest first.
func (o *Operations) Revisions(ctx context.Context, name string) ([]api.Revision, error) {
	if o == nil {
		return nil, ErrOff()
	}
	c, err := o.daemon.GetContainer(name)
	if err != nil {
		return nil, err
	}
	list, err := o.files.Revisions(ctx, c)
	return list, compat.DockerError(err)
}

// Prune removes kept states of a container.
func (o *Operations) Prune(ctx context.Context, name string, req api.PruneRequest) (report api.PruneReport, err error) {
	err = o.Do(ctx, name, "a removal of revisions", func(ctx context.Context, c *moby.Container) error {
		report, err = o.files.PruneRevisions(ctx, c, req)
		return compat.DockerError(err)
	})
	return report, err
}

// Check looks for what is wrong with what the daemon has in containerd; folder has a
// folder of each of its containers.
func (o *Operations) Check(ctx context.Context, containers check.Containers, folder string, req api.CheckRequest) (api.CheckReport, error) {
	if o == nil {
		return api.CheckReport{}, ErrOff()
	}
	return o.files.Check(ctx, containers, folder, req)
}

// Upgrade moves a container to another image. An upgrade whose container does not come up
// is taken back, and the result says why. emit gets the plan, what goes on and the result.
func (o *Operations) Upgrade(ctx context.Context, name string, req api.UpgradeRequest, emit func(api.Progress)) error {
	policies, err := revisions.ParsePolicies(req.Policy, req.Paths, req.Keep)
	if err != nil {
		return err
	}
	m := &move{
		Operations: o, emit: emit, action: upgrade,
		dryRun: req.DryRun, noStart: req.NoStart, restartDependents: req.RestartDependents,
		watched: true, patience: time.Duration(req.HealthTimeout) * time.Second,
	}
	m.prepare = func(ctx context.Context, dryRun bool) (*Prepared, error) {
		image, err := upgradeImage(m.c, req.Image)
		if err != nil {
			return nil, err
		}
		return o.files.PrepareUpgrade(ctx, m.c, revisions.UpgradeOptions{
			Image: image, Message: req.Message, Init: o.init, Policies: policies, DryRun: dryRun,
		})
	}
	return m.run(ctx, name, "an upgrade")
}

// upgradeImage returns the name of the image that a container is upgraded to: the one that
// was asked for, or else the name that the container was created from. An id means the same
// image forever, so there would be nothing to upgrade to.
func upgradeImage(c *moby.Container, asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	name := c.Config.Image
	id := strings.TrimPrefix(name, "sha256:")
	const shortest = 12 // digits of an id; fewer may be a name
	if id == "" || len(id) >= shortest && strings.HasPrefix(strings.TrimPrefix(c.ImageID.String(), "sha256:"), id) {
		return "", compat.DockerError(cerrdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"container %s was created from an image by its id %q and not by a name: say which image it is to be upgraded to", bare(c), name)))
	}
	return name, nil
}

// Rollback moves a container to one of its revisions. For emit see [Operations.Upgrade].
func (o *Operations) Rollback(ctx context.Context, name string, req api.RollbackRequest, emit func(api.Progress)) error {
	policies, err := revisions.ParsePolicies(req.Policy, req.Paths, req.Keep)
	if err != nil {
		return err
	}
	m := &move{
		Operations: o, emit: emit, action: rollback,
		dryRun: req.DryRun, noStart: req.NoStart, restartDependents: req.RestartDependents, giveUpTo: &req.Revision,
	}
	m.prepare = func(ctx context.Context, dryRun bool) (*Prepared, error) {
		return o.files.PrepareRollback(ctx, m.c, revisions.RollbackOptions{
			Revision: req.Revision, Message: req.Message, Carry: req.Carry, Policies: policies, DryRun: dryRun,
		})
	}
	return m.run(ctx, name, "a rollback")
}

// shutdownPatience is how long operations may take to clean up when the daemon shuts
// down. What takes longer is cleaned up after by the next start.
const shutdownPatience = 5 * time.Second

// Shutdown ends what is under way when the daemon begins to shut down.
func (o *Operations) Shutdown(ctx context.Context) {
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownPatience)
	defer cancel()
	o.files.Shutdown(ctx)
}

// log has docker events show what became of a container's revisions. from is the name of
// the image that the container had; "" if it has not changed.
func (o *Operations) log(c *moby.Container, action moby.EventAction, r api.Revision, from string) {
	attributes := map[string]string{"revision": strconv.Itoa(r.Number)}
	if from != "" {
		attributes["from"] = from
	}
	o.daemon.Log(c, action, attributes)
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

// bare is a container's name for a person.
func bare(c *moby.Container) string {
	return strings.TrimPrefix(c.Name, "/")
}

func conflict(format string, args ...any) error {
	return compat.DockerError(cerrdefs.ErrConflict.WithMessage(fmt.Sprintf(format, args...)))
}

// ErrOff returns the error of operations for a daemon whose images are a graph driver's.
func ErrOff() error {
	return compat.DockerError(cerrdefs.ErrNotImplemented.WithMessage("revisions of containers need the containerd image store: the feature containerd-snapshotter is off"))
}
