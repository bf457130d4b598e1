package compress

import (
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// kinds says how layers of a media type are compressed.
var kinds = map[string]string{
	ocispec.MediaTypeImageLayer:            Uncompressed,
	ocispec.MediaTypeImageLayerGzip:        Gzip,
	ocispec.MediaTypeImageLayerZstd:        Zstd,
	images.MediaTypeDockerSchema2Layer:     Uncompressed,
	images.MediaTypeDockerSchema2LayerGzip: Gzip,
	images.MediaTypeDockerSchema2LayerZstd: Zstd,
}

// KindOf says how layers of a media type, of the image specification or of
// Docker's schema 2, are compressed. ok is false for every other type: an
// encrypted layer for example, which needs a stream processor of containerd's.
func KindOf(mediaType string) (kind string, ok bool) {
	kind, ok = kinds[mediaType]
	return kind, ok
}
