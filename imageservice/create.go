package imageservice

import (
	"context"
	"fmt"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/docker/docker/container"
	"github.com/docker/docker/image"
	"github.com/docker/docker/layer"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/snapshotter"
)

const (
	// initSuffix is added to a container's id to name its init layer: the
	// files that the runtime mounts over, such as /etc/hosts.
	initSuffix = "-init"
	// initKeySuffix names the init layer while it is written.
	initKeySuffix = "-init-key"
)

// CreateLayer makes the writable layer of a new container, on the layers of
// its image, which are unpacked if they have not been, and on an init layer
// that initFunc fills. When it fails, nothing remains.
func (s *Service) CreateLayer(ctr *container.Container, initFunc layer.MountInit) (container.RWLayer, error) {
	l, err := s.createLayer(s.background(), ctr.ImageManifest, ctr.ID, initFunc)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("create layer of container %s: %w", ctr.ID, err))
	}
	return l, nil
}

// CreateLayerFromImage makes a writable layer on an image, for mounting the
// image into a container. A nil image gives an empty one.
func (s *Service) CreateLayerFromImage(img *image.Image, name string, _ *layer.CreateRWLayerOpts) (container.RWLayer, error) {
	var manifest *ocispec.Descriptor
	if img != nil && img.Details != nil {
		manifest = img.Details.ManifestDescriptor
	}
	l, err := s.createLayer(s.background(), manifest, name, nil)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("create layer %s: %w", name, err))
	}
	return l, nil
}

func (s *Service) createLayer(ctx context.Context, manifest *ocispec.Descriptor, id string, initFunc layer.MountInit) (_ *rwLayer, err error) {
	sn := s.snapshots("")
	lease, err := s.containerLease(ctx, sn, id)
	if err != nil {
		return nil, err
	}
	var made []string // keys of snapshots, in the order of their making
	defer func() {
		if err != nil {
			s.undoLayer(ctx, sn, lease, made)
		}
	}()
	ctx = leases.WithLease(ctx, lease.ID)

	parent, err := s.unpack(ctx, manifest)
	if err != nil {
		return nil, err
	}
	if initFunc != nil {
		made = append(made, id+initKeySuffix, id+initSuffix)
		if err := prepareInit(ctx, sn, id, parent, initFunc); err != nil {
			return nil, fmt.Errorf("prepare init layer: %w", err)
		}
		parent = id + initSuffix
	}
	mounts, err := sn.Prepare(ctx, id, parent)
	if err != nil {
		return nil, fmt.Errorf("prepare snapshot: %w", err)
	}
	made = append(made, id)
	if !s.idMapping.Empty() {
		if err := snapshotter.Remap(ctx, mounts, s.idMapping.ToHost); err != nil {
			return nil, fmt.Errorf("map ids of the root file system: %w", err)
		}
	}
	return s.layer(id, sn), nil
}

// containerLease makes the lease that holds a container's layer for as long
// as the container lives. A lease of that name without a snapshot is left
// over from a creation that failed in Moby's own service, and is taken over.
func (s *Service) containerLease(ctx context.Context, sn snapshots.Snapshotter, id string) (leases.Lease, error) {
	lease, err := s.leases.Create(ctx, leases.WithID(id))
	if err == nil {
		return lease, nil
	}
	if errdefs.IsAlreadyExists(err) {
		if _, serr := sn.Stat(ctx, id); errdefs.IsNotFound(serr) {
			return leases.Lease{ID: id}, nil
		}
	}
	return leases.Lease{}, fmt.Errorf("create lease: %w", err)
}

// undoLayer removes what a failed creation made, newest first.
func (s *Service) undoLayer(ctx context.Context, sn snapshots.Snapshotter, lease leases.Lease, made []string) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	logger := log.G(ctx).WithField("container", lease.ID)
	for i := len(made) - 1; i >= 0; i-- {
		if err := sn.Remove(ctx, made[i]); err != nil && !errdefs.IsNotFound(err) {
			logger.WithError(err).WithField("snapshot", made[i]).Warn("could not remove a snapshot of a failed container creation")
		}
	}
	if err := s.leases.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
		logger.WithError(err).Warn("could not remove the lease of a failed container creation")
	}
}

func prepareInit(ctx context.Context, sn snapshots.Snapshotter, id, parent string, initFunc layer.MountInit) error {
	mounts, err := sn.Prepare(ctx, id+initKeySuffix, parent)
	if err != nil {
		return err
	}
	if err := mount.WithTempMount(ctx, mounts, initFunc); err != nil {
		return err
	}
	return sn.Commit(ctx, id+initSuffix, id+initKeySuffix)
}

// unpack returns the snapshot of an image's layers, and makes it when it does
// not exist. Without a manifest it is "", the parent of FROM scratch.
func (s *Service) unpack(ctx context.Context, manifest *ocispec.Descriptor) (string, error) {
	if manifest == nil {
		return "", nil
	}
	// The manifest is for one platform already; which one is not our concern.
	img := containerd.NewImageWithPlatform(s.client, images.Image{Target: *manifest}, platforms.All)
	config, err := img.Config(ctx)
	if err != nil {
		return "", fmt.Errorf("read manifest %s: %w", manifest.Digest, err)
	}
	if strings.HasPrefix(strings.ToLower(config.MediaType), "application/vnd.docker.ai.") {
		return "", fmt.Errorf("image %s is an AI model: the engine does not run those, `docker model run` does: %w", manifest.Digest, errdefs.ErrNotImplemented)
	}
	unpacked, err := img.IsUnpacked(ctx, s.snapshotter)
	if err != nil {
		return "", fmt.Errorf("look up snapshot of image %s: %w", manifest.Digest, err)
	}
	if !unpacked {
		if err := img.Unpack(ctx, s.snapshotter); err != nil {
			return "", fmt.Errorf("unpack image %s: %w", manifest.Digest, err)
		}
	}
	diffIDs, err := img.RootFS(ctx)
	if err != nil {
		return "", fmt.Errorf("read config of image %s: %w", manifest.Digest, err)
	}
	return identity.ChainID(diffIDs).String(), nil
}
