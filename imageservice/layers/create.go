package layers

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/snapshotter"
)

const (
	// initSuffix is added to a container's id to name its init layer: the
	// files that the runtime mounts over, such as /etc/hosts.
	initSuffix = "-init"
	// initKeySuffix names the init layer while it is written.
	initKeySuffix = "-init-key"
)

// Create makes the writable layer of a new container, on the layers of its image, which are
// unpacked if they have not been, and on an init layer that initFunc fills. fill, if there is
// one, writes into the new layer, with the ids of the image. When it fails, nothing remains.
// The container's storage option "size" limits what the layer takes on disk.
func (s *Store) Create(ctx context.Context, ctr *moby.Container, initFunc moby.InitLayerFunc, fill FillFunc) (moby.RWLayer, error) {
	var options map[string]string
	if ctr.HostConfig != nil {
		options = ctr.HostConfig.StorageOpt
	}
	size, err := storageSize(options)
	if err != nil {
		return nil, err
	}
	l, err := s.create(ctx, ctr.ImageManifest, ctr.ID, size, initFunc, fill)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// create works under the lease of an operation. The lease that holds the
// layer for the container's life is made last: until then a crash leaves only
// what the next start sweeps. fill, if there is one, writes into the new layer,
// with the ids of the image.
func (s *Store) create(ctx context.Context, manifest *ocispec.Descriptor, id string, size int64, initFunc moby.InitLayerFunc, fill FillFunc) (_ *rwLayer, err error) {
	sn := s.Files.Snapshots("")
	if _, err := sn.Stat(ctx, id); err == nil {
		return nil, fmt.Errorf("snapshot %s: %w", id, errdefs.ErrAlreadyExists)
	} else if !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("look up snapshot: %w", err)
	}
	ctx, end, err := s.Files.Operations.Begin(ctx, "create", id, false)
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()

	parent, err := s.Unpack(ctx, manifest)
	if err != nil {
		return nil, err
	}
	parent, ids, err := s.mapIDs(ctx, id, parent)
	if err != nil {
		return nil, err
	}
	if initFunc != nil {
		if err := prepareInit(ctx, sn, id, parent, ids, initFunc); err != nil {
			return nil, fmt.Errorf("prepare init layer: %w", err)
		}
		parent = id + initSuffix
	}
	mounts, err := sn.Prepare(ctx, id, parent, activeLabels(ids, parent, manifest, fill != nil))
	if err != nil {
		return nil, fmt.Errorf("prepare snapshot: %w", err)
	}
	project, err := limit(ctx, sn, id, mounts, size)
	if err != nil {
		return nil, err
	}
	if parent == "" && !ids.Map.Empty() {
		if err := snapshotter.Remap(ctx, mounts, rootToHost(ids.Map)); err != nil {
			return nil, errors.Join(fmt.Errorf("map ids of the root file system: %w", err), unlimit(mounts, project))
		}
	}
	if fill != nil {
		if err := fillMapped(ctx, mounts, ids.Map, fill); err != nil {
			return nil, errors.Join(fmt.Errorf("fill snapshot: %w", err), unlimit(mounts, project))
		}
	}
	if _, err := s.Hold(ctx, id, id); err != nil {
		// The lease may be there even so: containerd can fail after it has made it.
		if l := (leases.Lease{ID: id}); s.Files.Operations.Delete(ctx, l) != nil {
			go s.Files.Operations.DeleteLater(ctx, l)
		}
		return nil, errors.Join(err, unlimit(mounts, project))
	}
	return s.layer(id), nil
}

func prepareInit(ctx context.Context, sn snapshots.Snapshotter, id, parent string, ids containerstore.IDs, initFunc moby.InitLayerFunc) error {
	mounts, err := sn.Prepare(ctx, id+initKeySuffix, parent)
	if err != nil {
		return err
	}
	if err := FillInit(ctx, mounts, parent != "", ids, initFunc); err != nil {
		if errors.Is(err, unix.EROFS) {
			err = fmt.Errorf("%w (the kernel mounts an overlay read-only when its disk is full)", err)
		}
		return err
	}
	return sn.Commit(ctx, id+initSuffix, id+initKeySuffix, snapshots.WithLabels(ids.InitLabels()))
}
