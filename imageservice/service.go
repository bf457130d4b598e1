package imageservice

import (
	"context"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/log"
	"github.com/moby/sys/user"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
	"github.com/baleen-project/baleen/imageservice/internal/locks"
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
	client      *containerd.Client
	content     content.Store
	images      images.Store
	leases      leases.Manager
	differ      containerstore.Differ
	upstream    Upstream
	snapshotter string
	owner       string
	containers  Containers
	mounter     Mounter
	roots       string
	ids         idmap.Map // of --userns-remap
	maps        mapsByMount
	events      Events
	options     Options
	sealCommits func() bool
	interrupted []string
	tempMounts  string
	locks       locks.Containers
	operations  *lease.Operations
	blobs       *blobs.Store
	restored    restoredImages
	lost        lostLayers
	cut         struct {
		mu  sync.Mutex
		ids []string // of containers whose moves a crash has cut short
	}
}

// New returns a service, and removes what operations left behind that a crash
// cut short. It does not fail: if containerd cannot be asked, that is logged,
// and tried again at the next start.
func New(c Config) *Service {
	s := &Service{
		client:      c.Client,
		content:     c.Client.ContentStore(),
		images:      c.Client.ImageService(),
		leases:      c.Client.LeasesService(),
		differ:      c.Client.DiffService(),
		upstream:    c.Upstream,
		snapshotter: c.Snapshotter,
		owner:       c.Owner,
		containers:  c.Containers,
		mounter:     c.Mounter,
		roots:       c.Roots,
		ids:         idMap(c.IDMapping),
		events:      c.Events,
		options:     c.Options,
		sealCommits: c.SealCommits,
		tempMounts:  c.TempMounts,
	}
	if !s.ids.Empty() && !moby.StockMapsIDs {
		log.G(s.background()).Warn(NoWayBackWarning)
	}
	s.operations = lease.New(s.leases, s.owner)
	s.blobs = blobs.New(c.Client, s.operations)
	s.interrupted = s.operations.Sweep(s.background(), c.Thaw)
	useTempMounts(s.background(), c.TempMounts)
	s.interruptedMoves(s.background())
	return s
}

// background is the context of the methods that Moby calls without one. They
// belong to no request that could be cancelled; the client adds its namespace. It does
// not end with the daemon's life, for the daemon then gives up layers and unmounts
// them; an operation does, see [Service.Shutdown].
func (s *Service) background() context.Context {
	return context.Background()
}

// snapshots is the snapshotter of that name: the daemon's, or the one that a
// container was created with.
func (s *Service) snapshots(name string) snapshots.Snapshotter {
	if name == "" {
		name = s.snapshotter
	}
	return s.client.SnapshotService(name)
}

// lease begins an operation on an object that pauses nothing, see [lease.Operations.Begin].
func (s *Service) lease(ctx context.Context, verb, object string) (_ context.Context, end func(error), err error) {
	return s.operations.Begin(ctx, verb, object, false)
}

// keepSnapshot puts a snapshot, which need not exist yet, under the lease in ctx.
func (s *Service) keepSnapshot(ctx context.Context, name string) error {
	return s.operations.Keep(ctx, s.snapshotResource(name))
}

// snapshotResource is a snapshot of the daemon's snapshotter, for a lease to hold.
func (s *Service) snapshotResource(name string) leases.Resource {
	return leases.Resource{ID: name, Type: "snapshots/" + s.snapshotter}
}

// Shutdown ends the operations that are under way, also those that Moby has asked for
// without a context, and waits until they have cleaned up, or until ctx ends. A switch
// of a container's files is brought to its end. Layers can still be mounted, unmounted
// and given up.
func (s *Service) Shutdown(ctx context.Context) { s.operations.Shutdown(ctx) }
