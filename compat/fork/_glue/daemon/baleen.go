package daemon

import (
	"context"
	"errors"
	"path/filepath"

	c8dimages "github.com/containerd/containerd/v2/core/images"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// imageResolver finds the containerd image that a reference means.
type imageResolver interface {
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)
}

// baleenState is what the image service keeps for the daemon.
type baleenState struct {
	err        error // why the daemon must not start
	service    *imageservice.Service
	operations *lifecycle.Operations
	freezer    *freeze.Freezer
	cleaner    *unfinished.Cleaner
}

// baleen returns what there is of Baleen: nothing, if images are a graph driver's.
func (daemon *Daemon) baleen() baleenState {
	verbs, _ := daemon.imageService.(imageVerbs)
	return verbs.state
}

// newBaleenService puts Baleen's image service in front of Moby's, which goes on serving
// the verbs that Baleen leaves to it. [Daemon.startBaleen] returns the error of what is
// wrong with the options.
func (daemon *Daemon) newBaleenService(cfg mobyImagesConfig) ImageService {
	options, optionsErr := imageservice.ParseOptions(daemon.config().GraphOptions)
	client, containers := cfg.Client, cfg.Containers
	upstreamClient, clientErr := imageservice.UpstreamClient(client, cfg.Snapshotter)
	images := lifecycle.NewImages(containers)
	cfg.Containers, cfg.Client = images, upstreamClient
	upstream := upstreamImages{newMobyImages(cfg), images}
	service := imageservice.New(imageservice.Config{
		Client:      client,
		Containers:  containers,
		Snapshotter: cfg.Snapshotter,
		Owner:       daemon.id,
		Mounter:     cfg.RefCountMounter,
		Roots:       filepath.Join(daemon.root, "rootfs", cfg.Snapshotter),
		IDMapping:   cfg.IDMapping,
		Events:      cfg.EventsService,
		Thaw:        func(ctx context.Context, id string) error { return freeze.ThawGroup(ctx, client, id) },
		TempMounts:  filepath.Join(daemon.root, "baleen-mounts"),
		Options:     options,
		SealCommits: func() bool { return daemon.Features()[imageservice.FeatureSealCommits] },
		Upstream:    upstream,
	})
	service.Serve(upstreamClient)
	images.Use(service.RevisionStore())
	freezer := freeze.New(baleenRoles{daemon})
	operations := lifecycle.New(lifecycle.Config{
		Daemon:    baleenRoles{daemon},
		Files:     lifecycle.ServiceFiles(service),
		Tasks:     lifecycle.ClientTasks(client),
		Freezer:   freezer,
		Images:    images,
		InitLayer: setupInitLayer(daemon.idMapping.RootPair()),
		Probe:     probeDefaults,
	})
	cleaner := &unfinished.Cleaner{
		Containers: containers, Users: images, Layers: service,
		Daemon: checkpointRoles{daemon}, Folder: daemon.repository,
	}
	return imageVerbs{service, upstream, baleenState{errors.Join(optionsErr, clientErr), service, operations, freezer, cleaner}}
}

// startBaleen has the daemon's containers loaded. What is asked of containerd from now on
// waits for freezes.
func (daemon *Daemon) startBaleen(ctx context.Context, load func() error) error {
	state := daemon.baleen()
	daemon.containerd = checkpoint.RuntimeClient(state.freezer.Client(daemon.containerd))
	return state.operations.Start(ctx, state.err, load, func(ctx context.Context) {
		state.freezer.ThawInterrupted(ctx, state.service.Interrupted(), daemon.containers.Get)
		state.cleaner.Mend(ctx)
		state.service.CollectBlobs()
	})
}

// loadLayer finds the layer of a container that the daemon loads.
func (daemon *Daemon) loadLayer(c *moby.Container) (moby.RWLayer, error) {
	if operations := daemon.baleen().operations; operations != nil {
		return operations.Load(context.Background(), c) // Moby loads containers without one
	}
	return daemon.imageService.GetLayerByID(c.ID)
}

// newLayer makes the writable layer of a new container.
func (daemon *Daemon) newLayer(ctx context.Context, c *moby.Container) (moby.RWLayer, error) {
	init := setupInitLayer(daemon.idMapping.RootPair())
	if service := daemon.baleen().service; service != nil {
		return checkpoint.NewLayer(ctx, service, c, init)
	}
	return daemon.imageService.CreateLayer(c, init)
}

// mayStart is called with the container locked, at every start.
func (daemon *Daemon) mayStart(ctx context.Context, c *moby.Container) error {
	return daemon.baleen().operations.MayStart(ctx, c)
}

// endWork comes before the removal of a container.
func (daemon *Daemon) endWork(c *moby.Container, opts *moby.ContainerRmConfig) error {
	return daemon.baleen().operations.EndWork(context.Background(), c, opts.ForceRemove) // as Moby removes containers
}

// awaitThaw is called before a signal is sent, with the container not locked.
func (daemon *Daemon) awaitThaw(c *moby.Container) { daemon.baleen().freezer.AwaitThaw(c) }

// endOperations ends what is under way when the daemon begins to shut down.
func (daemon *Daemon) endOperations(ctx context.Context) { daemon.baleen().operations.Shutdown(ctx) }
