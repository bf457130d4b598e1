package imageservice

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/log"
	"github.com/moby/sys/user"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
	"github.com/baleen-project/baleen/imageservice/commit"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
	"github.com/baleen-project/baleen/imageservice/layers"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// Config is what a [Service] works with. All fields but Roots, IDMapping and SealCommits are needed.
// The process must not have a second service: temporary mounts are in one place.
type Config struct {
	Client      *containerd.Client // its default namespace is the daemon's
	Containers  layers.Containers
	Snapshotter string // the daemon's storage driver, "overlayfs"
	Owner       string // the daemon's id, kept in its data root
	Mounter     layers.Mounter
	Roots       string               // the folder in which Mounter mounts the root of each container on its id; "" if unknown
	IDMapping   user.IdentityMapping // of --userns-remap; empty without
	Events      commit.Events
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
	layers      *layers.Store
	commits     *commit.Maker
	revisions   *revisions.Store
	checkpoints *image.Store
	blobs       *blobs.Store
	images      images.Store
	upstream    Upstream
	owner       string
	containers  layers.Containers
	roots       string
	options     Options
	sealCommits func() bool
	interrupted []string
	cutShort    bool // a crash may have cut operations short
	tempMounts  string
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
		roots:       c.Roots,
		options:     c.Options,
		sealCommits: c.SealCommits,
		tempMounts:  c.TempMounts,
	}
	s.layers = layers.New(layers.Config{
		Files: s.files, Blobs: s.blobs, Containers: c.Containers, Mounter: c.Mounter,
		Roots: c.Roots, CopyIDs: c.Options.CopyIDs, Limit: c.Options.limit(),
	})
	s.revisions = &revisions.Store{Files: s.files, Layers: s.layers, Upstream: c.Upstream}
	s.commits = &commit.Maker{
		Files: s.files, Images: s.images, Blobs: s.blobs, Events: c.Events, Resolver: c.Upstream,
		Compression: c.Options.Compression, Limit: c.Options.limit(),
	}
	s.checkpoints = &image.Store{
		Files: s.files, Layers: s.layers, Commits: s.commits, Blobs: s.blobs, Images: s.images,
		Resolver: c.Upstream, Owner: c.Owner, Limit: c.Options.limit(),
	}
	if !s.files.IDs.Empty() && !moby.StockMapsIDs {
		log.G(s.background()).Warn(NoWayBackWarning)
	}
	left, err := operations.Leases(s.background())
	s.cutShort = err != nil || len(left) > 0
	s.interrupted = operations.Sweep(s.background(), c.Thaw)
	useTempMounts(s.background(), c.TempMounts)
	s.files.NoteInterrupted(s.background())
	return s
}

// CollectBlobs has containerd remove the files of blobs that operations left behind which
// a crash cut short. containerd removes all that nothing holds; so it comes when the
// daemon has loaded its containers, and each is held again.
func (s *Service) CollectBlobs() {
	if s.cutShort {
		s.blobs.CollectLater(s.background())
	}
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

// RevisionStore returns the revisions of the daemon's containers.
func (s *Service) RevisionStore() *revisions.Store { return s.revisions }

// CheckpointStore returns the checkpoints that the daemon has.
func (s *Service) CheckpointStore() *image.Store { return s.checkpoints }

// MendRestores is [image.Store.MendRestores].
func (s *Service) MendRestores(ctx context.Context, used func(manifest digest.Digest) bool) error {
	return s.checkpoints.MendRestores(ctx, used)
}

// idMap is the daemon's mapping.
func idMap(m user.IdentityMapping) idmap.Map {
	ranges := func(all []user.IDMap) (ranges []idmap.Range) {
		for _, r := range all {
			ranges = append(ranges, idmap.Range{Container: uint32(r.ID), Host: uint32(r.ParentID), Size: uint32(r.Count)})
		}
		return ranges
	}
	return idmap.Map{UIDs: ranges(m.UIDMaps), GIDs: ranges(m.GIDMaps)}
}
