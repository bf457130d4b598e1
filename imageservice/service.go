package imageservice

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"github.com/moby/sys/user"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/commit"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Containers finds a container of the daemon by its full id; nil if it has
// none of that id.
type Containers interface {
	Get(id string) *moby.Container
}

// Mounter mounts the root file systems of containers, and counts who uses
// each, so that one is never mounted twice. Moby's daemon/snapshotter has it.
type Mounter interface {
	Mount(mounts []mount.Mount, containerID string) (target string, err error)
	Unmount(target string) error
	// Mounted returns the mount point of a mounted root, else "".
	Mounted(containerID string) (target string, err error)
}

// Events takes what `docker events` shows. Moby's daemon/events has it.
type Events interface {
	Log(action moby.EventAction, eventType moby.EventType, actor moby.EventActor)
}

// Config is what a [Service] works with. All fields but Roots, IDMapping and SealCommits are needed.
// The process must not have a second service: temporary mounts are in one place.
type Config struct {
	Client      *containerd.Client // its default namespace is the daemon's
	Containers  Containers
	Snapshotter string // the daemon's storage driver, "overlayfs"
	Owner       string // the daemon's id, kept in its data root
	Mounter     Mounter
	Roots       string               // the folder in which Mounter mounts the root of each container on its id; "" if unknown
	IDMapping   user.IdentityMapping // of --userns-remap; empty without
	Events      Events
	// Thaw lets a container go on that a commit had frozen when the daemon
	// crashed. One that is not there is errdefs' ErrNotFound.
	Thaw       func(ctx context.Context, id string) error
	TempMounts string // a folder of the daemon's own, for temporary mounts
	Options    Options
	// SealCommits reports at any time whether [FeatureSealCommits] is on. Nil is no.
	SealCommits func() bool
	Upstream    Upstream
}

// Service implements those verbs of Moby's daemon.ImageService that are Baleen's.
// compat/fork says which: the daemon has the others of Moby's service, which it
// embeds one level deeper. The methods may be called at the same time, also for one
// container.
type Service struct {
	files       *files.Containers
	commits     *commit.Maker
	blobs       *blobs.Store
	images      images.Store
	upstream    Upstream
	owner       string
	containers  Containers
	mounter     Mounter
	roots       string
	maps        mapsByMount
	options     Options
	sealCommits func() bool
	interrupted []string
	tempMounts  string
	restored    restoredImages
	lost        lostLayers
}

// New returns a service, and removes what operations left behind that a crash
// cut short. It does not fail: if containerd cannot be asked, that is logged,
// and tried again at the next start.
func New(c Config) *Service {
	operations := lease.New(c.Client.LeasesService(), c.Owner)
	s := &Service{
		files: files.New(files.Config{
			Client:      c.Client,
			Content:     c.Client.ContentStore(),
			Leases:      c.Client.LeasesService(),
			Differ:      c.Client.DiffService(),
			Snapshotter: c.Snapshotter,
			IDs:         idMap(c.IDMapping),
			Mounter:     c.Mounter,
			Operations:  operations,
		}),
		blobs:       blobs.New(c.Client, operations),
		images:      c.Client.ImageService(),
		upstream:    c.Upstream,
		owner:       c.Owner,
		containers:  c.Containers,
		mounter:     c.Mounter,
		roots:       c.Roots,
		options:     c.Options,
		sealCommits: c.SealCommits,
		tempMounts:  c.TempMounts,
	}
	s.commits = &commit.Maker{
		Files: s.files, Images: s.images, Blobs: s.blobs, Events: c.Events, Resolver: c.Upstream,
		Compression: c.Options.Compression, Limit: c.Options.limit(),
	}
	if !s.files.IDs.Empty() && !moby.StockMapsIDs {
		log.G(s.background()).Warn(NoWayBackWarning)
	}
	s.interrupted = operations.Sweep(s.background(), c.Thaw)
	useTempMounts(s.background(), c.TempMounts)
	s.files.NoteInterrupted(s.background())
	return s
}

// background is the context of the methods that Moby calls without one. They
// belong to no request that could be cancelled; the client adds its namespace. It does
// not end with the daemon's life, for the daemon then gives up layers and unmounts
// them; an operation does, see [Service.Shutdown].
func (s *Service) background() context.Context {
	return context.Background()
}

// Shutdown ends the operations that are under way, also those that Moby has asked for
// without a context, and waits until they have cleaned up, or until ctx ends. A switch
// of a container's files is brought to its end. Layers can still be mounted, unmounted
// and given up.
func (s *Service) Shutdown(ctx context.Context) { s.files.Operations.Shutdown(ctx) }

// Interrupted returns the ids of the containers that a commit may have paused
// when the daemon crashed. They are for the daemon to thaw, once it has loaded
// its containers.
func (s *Service) Interrupted() []string { return s.interrupted }

// Mounted reports whether the root of a container is mounted, also if an earlier
// daemon has mounted it.
func (s *Service) Mounted(id string) (bool, error) { return s.files.Mounted(id) }
