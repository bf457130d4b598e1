package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
	"github.com/baleen-project/baleen/imageservice/internal/locks"
)

// Mounter tells where the root file systems of containers are mounted.
type Mounter interface {
	// Mounted returns the mount point of a mounted root, else "".
	Mounted(containerID string) (target string, err error)
}

// Containers are the files of a daemon's containers. [New] makes one of a Config.
type Containers struct {
	Config
	Locks locks.Containers
	Live  containerstore.LiveSeals
	cut   struct {
		mu  sync.Mutex
		ids []string // of containers whose moves a crash has cut short
	}
}

// Config is where the files are, and who works on them.
type Config struct {
	Client      *containerd.Client
	Content     content.Store
	Leases      leases.Manager
	Differ      containerstore.Differ
	Snapshotter string    // the daemon's storage driver
	IDs         idmap.Map // of --userns-remap; empty without
	Mounter     Mounter
	Operations  *lease.Operations
}

// New returns the files of the containers that c tells, none of which was cut short.
func New(c Config) *Containers { return &Containers{Config: c} }

// Snapshots is the snapshotter of that name: the daemon's, or the one that a
// container was created with.
func (c *Containers) Snapshots(name string) snapshots.Snapshotter {
	if name == "" {
		name = c.Snapshotter
	}
	return c.Client.SnapshotService(name)
}

// History is the revisions of a container. Containers that were created with
// another storage driver than the daemon's now are read there.
func (c *Containers) History(id, driver string) *containerstore.History {
	if driver == "" {
		driver = c.Snapshotter
	}
	return &containerstore.History{
		Container:   id,
		Snapshotter: driver,
		Snapshots:   c.Snapshots(driver),
		Content:     c.Content,
		Leases:      c.Leases,
		Tasks:       c.Client.TaskService(),
		Lease:       id,
		Differ:      c.Differ,
		Live:        &c.Live,
	}
}

// Mounted reports whether the root of a container is mounted, also if an earlier
// daemon has mounted it.
func (c *Containers) Mounted(id string) (bool, error) {
	root, err := c.Mounter.Mounted(id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // never mounted yet
		return false, fmt.Errorf("look up its mount point: %w", err)
	}
	return root != "", nil
}

// Keep puts a snapshot, which need not exist yet, under the lease in ctx.
func (c *Containers) Keep(ctx context.Context, name string) error {
	return c.Operations.Keep(ctx, c.Resource(name))
}

// Resource is a snapshot of the daemon's snapshotter, for a lease to hold.
func (c *Containers) Resource(name string) leases.Resource {
	return leases.Resource{ID: name, Type: "snapshots/" + c.Snapshotter}
}

// Base reads the image that a container stands on, and keeps it: container and
// image may both be removed before the new image refers to the layers.
func (c *Containers) Base(ctx context.Context, ctr *moby.Container) (baseimage.Image, error) {
	if ctr.ImageManifest == nil { // FROM scratch
		return baseimage.Image{}, nil
	}
	if err := c.Operations.KeepBlob(ctx, ctr.ImageManifest.Digest); err != nil {
		return baseimage.Image{}, err
	}
	return baseimage.Read(ctx, c.Content, *ctr.ImageManifest, ctr.ImagePlatform)
}
