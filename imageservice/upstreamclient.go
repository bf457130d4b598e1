package imageservice

import (
	"context"
	"errors"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/layers"
)

// UpstreamClient returns the client of containerd for the image service behind a Service,
// on the connection of client. [Unpack] and [Pull] find the Service by it, from
// [Service.Serve] on. Together with an error it returns client.
//
// Moby's image service makes the record of a name anew when the name gets another image,
// and asks for the age of a record by when it was created. [PutImage] updates the record:
// a list of this client has records as old as their last update.
//
// It also adds up all snapshots for docker system df, and would count revisions as images
// that nobody uses: a walk of this client leaves out the sealed layers of containers.
func UpstreamClient(client *containerd.Client, snapshotter string) (*containerd.Client, error) {
	conn, ok := client.Conn().(*grpc.ClientConn)
	if !ok {
		return client, fmt.Errorf("share the connection to containerd: it is %T: %w", client.Conn(), errdefs.ErrNotImplemented)
	}
	upstream, err := containerd.NewWithConn(conn, containerd.WithDefaultNamespace(client.DefaultNamespace()), containerd.WithServices(
		containerd.WithContentStore(&upstreamContent{Store: client.ContentStore()}),
		containerd.WithImageStore(upstreamRecords{client.ImageService()}),
		containerd.WithSnapshotters(map[string]snapshots.Snapshotter{snapshotter: upstreamSnapshots{client.SnapshotService(snapshotter)}}),
	))
	if err != nil {
		return client, fmt.Errorf("share the connection to containerd: %w", err)
	}
	return upstream, nil
}

// Serve has s answer for a client of [UpstreamClient]. It comes before the client is used.
func (s *Service) Serve(client *containerd.Client) {
	if c, ok := client.ContentStore().(*upstreamContent); ok {
		c.service = s
	}
}

// upstreamContent is containerd's content store, and tells which Service answers.
type upstreamContent struct {
	content.Store
	service *Service
}

// behind returns the Service that has a client's content store, or nil.
func behind(store content.Store) *Service {
	if c, ok := store.(*upstreamContent); ok {
		return c.service
	}
	return nil
}

// upstreamRecords are containerd's records of images.
type upstreamRecords struct{ images.Store }

func (r upstreamRecords) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	list, err := r.Store.List(ctx, filters...)
	for i := range list {
		list[i].CreatedAt = list[i].UpdatedAt
	}
	return list, err
}

// upstreamSnapshots are the daemon's snapshots.
type upstreamSnapshots struct{ snapshots.Snapshotter }

func (s upstreamSnapshots) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	return s.Snapshotter.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		if containerstore.IsSealed(i) {
			return nil
		}
		return fn(ctx, i)
	}, filters...)
}

// Unpack unpacks an image of one platform, whose manifest is target, with the Service that
// its client belongs to; as containerd does if there is none, or by another snapshotter.
func Unpack(ctx context.Context, img containerd.Image, target ocispec.Descriptor, snapshotter string, opts ...containerd.UnpackOpt) error {
	s := behind(img.ContentStore())
	if s == nil || snapshotter != s.files.Snapshotter {
		return img.Unpack(ctx, snapshotter, opts...)
	}
	return s.Unpack(ctx, target)
}

// Unpack makes the snapshots of an image whose manifest, for one platform, and
// layers are stored, and has the image keep them. What exists of them is kept.
func (s *Service) Unpack(ctx context.Context, manifest ocispec.Descriptor) (err error) {
	if _, leased := leases.FromContext(ctx); !leased {
		var end func(error)
		if ctx, end, err = s.files.Operations.Begin(ctx, "unpack", manifest.Digest.String(), false); err != nil {
			return err
		}
		defer func() { end(err) }()
	}
	_, err = s.layers.Unpack(ctx, &manifest)
	if errors.Is(err, layers.ErrCheckpoint) { // what there is to unpack is so at its restore
		return nil
	}
	return err
}

// Pull is [Service.PullComplete] of the Service that a client belongs to, or else the
// client's own Pull.
func Pull(ctx context.Context, client *containerd.Client, ref string, opts ...containerd.RemoteOpt) (containerd.Image, error) {
	if s := behind(client.ContentStore()); s != nil {
		return s.PullComplete(ctx, ref, opts...)
	}
	return client.Pull(ctx, ref, opts...)
}
