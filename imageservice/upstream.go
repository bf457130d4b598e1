package imageservice

import (
	"context"
	"io"

	c8dimages "github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	imagetype "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/builder"
	"github.com/docker/docker/container"
	dimages "github.com/docker/docker/daemon/images"
	"github.com/docker/docker/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Upstream is the service that the verbs go to which are not Baleen's own. In
// the fork it is Moby's containerd image service. A verb leaves this interface
// on the day that [Service] gets a method of that name.
type Upstream interface {
	// Registries. PullImage is behind [Service.PullImage].
	PullImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, metaHeaders map[string][]string, authConfig *registry.AuthConfig, outStream io.Writer) error
	// PushImage is behind [Service.PushImage].
	PushImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, metaHeaders map[string][]string, authConfig *registry.AuthConfig, outStream io.Writer) error
	DistributionServices() dimages.DistributionServices
	UpdateConfig(maxDownloads, maxUploads int)

	// Images at rest.
	ImageDelete(ctx context.Context, imageRef string, options imagetype.RemoveOptions) ([]imagetype.DeleteResponse, error)
	ImagesPrune(ctx context.Context, pruneFilters filters.Args) (*imagetype.PruneReport, error)
	// TagImage, LoadImage and ImportImage are behind the methods of [Service].
	TagImage(ctx context.Context, imageID image.ID, newTag reference.Named) error
	// ExportImage is behind [Service.ExportImage].
	ExportImage(ctx context.Context, names []string, platform *ocispec.Platform, outStream io.Writer) error
	LoadImage(ctx context.Context, inTar io.ReadCloser, platform *ocispec.Platform, outStream io.Writer, quiet bool) error
	ImportImage(ctx context.Context, ref reference.Named, platform *ocispec.Platform, msg string, layerReader io.Reader, changes []string) (image.ID, error)

	// Looking.
	Images(ctx context.Context, opts imagetype.ListOptions) ([]*imagetype.Summary, error)
	CountImages(ctx context.Context) int
	GetImage(ctx context.Context, refOrID string, options backend.GetImageOpts) (*image.Image, error)
	ImageInspect(ctx context.Context, refOrID string, opts backend.ImageInspectOpts) (*imagetype.InspectResponse, error)
	ImageHistory(ctx context.Context, name string, platform *ocispec.Platform) ([]*imagetype.HistoryResponseItem, error)
	ImageDiskUsage(ctx context.Context) (int64, error)
	Children(ctx context.Context, id image.ID) ([]image.ID, error)
	LogImageEvent(ctx context.Context, imageID, refName string, action events.Action)
	// ResolveImage finds the image record that a reference or id means. It is
	// not part of daemon.ImageService; starting a container asks for it.
	ResolveImage(ctx context.Context, refOrID string) (c8dimages.Image, error)

	// The classic builder.
	CreateImage(ctx context.Context, config []byte, parent string, contentStoreDigest digest.Digest) (builder.Image, error)
	// GetImageAndReleasableLayer is behind [Service.GetImageAndReleasableLayer].
	GetImageAndReleasableLayer(ctx context.Context, refOrID string, opts backend.GetImageAndLayerOptions) (builder.Image, builder.ROLayer, error)
	MakeImageCache(ctx context.Context, cacheFrom []string) (builder.ImageCache, error)

	// Windows.
	GetLayerFolders(img *image.Image, rwLayer container.RWLayer, containerID string) ([]string, error)
}
