package clientopts

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/image-spec/identity"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff/idmap"
)

// Kinds of revisions of a container that has no daemon.
const (
	kindNew      = "new"
	kindUpgrade  = "upgrade"
	kindRollback = "rollback"
)

// WithNewSnapshot gives a new container a file system on an image, and begins
// its history: what it is on is revision 1. The image is unpacked if it is not
// yet. Further options are for the snapshot; their labels come on top of it.
//
// It takes the place of client.WithNewSnapshot, and sets Snapshotter, SnapshotKey
// and Image. The key is chosen here, and is another one after each move.
func WithNewSnapshot(image client.Image, opts ...snapshots.Opt) client.NewContainerOpts {
	return func(ctx context.Context, cl *client.Client, c *containers.Container) error {
		if err := newSnapshot(ctx, cl, c, image, idmap.Map{}, opts); err != nil {
			return fmt.Errorf("make the snapshot of container %s: %w", c.ID, err)
		}
		return nil
	}
}

// newSnapshot makes a snapshot in which ids are mapped, if the mapping is not empty.
func newSnapshot(ctx context.Context, cl *client.Client, c *containers.Container, image client.Image, ids idmap.Map, opts []snapshots.Opt) (err error) {
	name, err := snapshotterOf(ctx, cl, c)
	if err != nil {
		return err
	}
	p := newContainer(cl, c.ID, name)
	// The lease is the caller's, which client.NewContainer is: it holds what is
	// made until there is a container.
	chain, r, err := p.unpacked(ctx, image)
	if err != nil {
		return err
	}
	if err := p.loadAll(ctx); err != nil {
		return err
	}
	// There may be some of an attempt that failed, or of one at the same time.
	r.Number, r.Created, r.Kind = 1, time.Now().UTC(), kindNew
	for _, i := range p.all {
		r.Number = max(r.Number, number(i)+1)
	}
	labels, err := containerstore.WriteRecord(ctx, p.Content, p.Container, &r, 0)
	if err != nil {
		return err
	}
	labels[label.Number] = strconv.Itoa(r.Number)
	labels[label.Unwritten] = unwrittenAtBirth
	key := p.activeName(r.Number)
	if err := p.prepareMapped(ctx, p.Snapshots.Prepare, key, chain, ids, append(opts, snapshots.WithLabels(labels))); err != nil {
		return err
	}
	c.Snapshotter, c.SnapshotKey, c.Image = name, key, image.Name()
	return nil
}

// unpacked returns the snapshot of an image, which is made if it is not there,
// and what a record says of the image.
func (p *clientContainer) unpacked(ctx context.Context, image client.Image) (chain string, r containerstore.Record, err error) {
	if chain, r, err = imageRecord(ctx, image); err != nil {
		return "", r, err
	}
	if chain == "" {
		return "", r, nil
	}
	_, err = p.Snapshots.Stat(ctx, chain)
	if errdefs.IsNotFound(err) {
		err = image.Unpack(ctx, p.Snapshotter)
	}
	if err != nil {
		return "", r, fmt.Errorf("unpack image %s: %w", image.Name(), err)
	}
	return chain, r, nil
}

// imageRecord returns what a record says of an image, and the name that its
// snapshot has where it is unpacked.
func imageRecord(ctx context.Context, image client.Image) (chain string, r containerstore.Record, err error) {
	target := image.Target()
	if !images.IsIndexType(target.MediaType) && !images.IsManifestType(target.MediaType) {
		return "", r, fmt.Errorf("image %s is a %s: %w", image.Name(), target.MediaType, errdefs.ErrInvalidArgument)
	}
	config, err := imageConfig(ctx, image)
	if err != nil {
		return "", r, err
	}
	if diffIDs := config.RootFS.DiffIDs; len(diffIDs) > 0 {
		chain = identity.ChainID(diffIDs).String()
	}
	r.Image, r.ImageID, r.Manifest, r.Platform = image.Name(), target.Digest, &target, config.Platform
	return chain, r, nil
}

// imageConfig reads the config of an image for the client's platform.
func imageConfig(ctx context.Context, image client.Image) (imagespec.DockerOCIImage, error) {
	store := image.ContentStore()
	manifest, err := images.Manifest(ctx, bounded.Image.Provider(store), image.Target(), image.Platform())
	if err != nil {
		return imagespec.DockerOCIImage{}, fmt.Errorf("read image %s: %w", image.Name(), err)
	}
	base, err := baseimage.ReadConfig(ctx, store, manifest)
	if err != nil {
		return imagespec.DockerOCIImage{}, fmt.Errorf("read image %s: %w", image.Name(), err)
	}
	return base.Config, nil
}
