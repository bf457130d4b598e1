package daemon

import (
	"context"
	"path/filepath"

	c8dimages "github.com/containerd/containerd/v2/core/images"

	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
	"github.com/baleen-project/baleen/imageservice/lifecycle/freeze"
)

// imageResolver finds the containerd image that a reference means.
type imageResolver interface {
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)
}

// newBaleenService puts Baleen's image service in front of Moby's, which goes
// on serving the verbs that Baleen leaves to it.
func (daemon *Daemon) newBaleenService(options imageservice.Options, cfg mobyImagesConfig) ImageService {
	containers := cfg.Containers
	images := lifecycle.NewImages(containers)
	cfg.Containers = images
	upstream := newMobyImages(cfg)
	service := imageservice.New(imageservice.Config{
		Client:      cfg.Client,
		Containers:  containers,
		Snapshotter: cfg.Snapshotter,
		Owner:       daemon.id,
		Mounter:     cfg.RefCountMounter,
		Roots:       filepath.Join(daemon.root, "rootfs", cfg.Snapshotter),
		IDMapping:   cfg.IDMapping,
		Events:      cfg.EventsService,
		Thaw:        func(ctx context.Context, id string) error { return freeze.ThawGroup(ctx, cfg.Client, id) },
		TempMounts:  filepath.Join(daemon.root, "baleen-mounts"),
		Options:     options,
		SealCommits: func() bool { return daemon.Features()[imageservice.FeatureSealCommits] },
		Upstream:    upstreamImages{upstream, images},
	})
	upstream.Use(service)
	images.Use(service)
	freezer := freeze.New(baleenRoles{daemon})
	daemon.baleen = baleenState{images: images, freezer: freezer, operations: lifecycle.New(lifecycle.Config{
		Daemon:    baleenRoles{daemon},
		Freezer:   freezer,
		Files:     lifecycle.ServiceFiles(service),
		Tasks:     lifecycle.ClientTasks(cfg.Client),
		Images:    images,
		InitLayer: setupInitLayer(daemon.idMapping.RootPair()),
		Probe:     probeDefaults,
	})}
	return imageVerbs{service, upstreamImages{upstream, images}}
}

// startBaleen has the daemon's containers loaded, and undoes what a daemon that crashed
// has left of them. What is asked of containerd from now on waits for freezes.
func (daemon *Daemon) startBaleen(ctx context.Context, load func() error) error {
	daemon.containerd = daemon.baleen.freezer.Client(daemon.containerd)
	if err := load(); err != nil {
		return err
	}
	daemon.mendInterrupted(ctx)
	return nil
}

// mendInterrupted undoes, when all containers have been loaded, what a daemon
// that crashed has left of them.
func (daemon *Daemon) mendInterrupted(ctx context.Context) {
	s, err := daemon.baleenService()
	if err != nil {
		return
	}
	daemon.baleen.freezer.ThawInterrupted(ctx, s.Interrupted(), daemon.containers.Get)
	daemon.cleaner(s).Mend(ctx)
}
