package compat

import (
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ociLayerTypes maps the layer types of Docker's schema 2 to the same format's
// name in the image specification.
var ociLayerTypes = map[string]string{
	images.MediaTypeDockerSchema2Layer:            ocispec.MediaTypeImageLayer,
	images.MediaTypeDockerSchema2LayerGzip:        ocispec.MediaTypeImageLayerGzip,
	images.MediaTypeDockerSchema2LayerZstd:        ocispec.MediaTypeImageLayerZstd,
	images.MediaTypeDockerSchema2LayerForeign:     ocispec.MediaTypeImageLayerNonDistributable,     //nolint:staticcheck // deprecated, but found in the wild
	images.MediaTypeDockerSchema2LayerForeignGzip: ocispec.MediaTypeImageLayerNonDistributableGzip, //nolint:staticcheck // deprecated, but found in the wild
}

// OCILayers returns copies of layer descriptors with the media types of the
// image specification. A manifest must not mix the two families: some
// registries and clients refuse it. Digests, sizes and everything else stay,
// since the bytes are the same; a type that neither family has stays too.
func OCILayers(layers []ocispec.Descriptor) []ocispec.Descriptor {
	out := make([]ocispec.Descriptor, 0, len(layers)+1)
	for _, l := range layers {
		// Encryption and the like are named behind the type, "+encrypted".
		base, suffix, _ := strings.Cut(l.MediaType, "+")
		if t, ok := ociLayerTypes[l.MediaType]; ok {
			l.MediaType = t
		} else if t, ok := ociLayerTypes[base]; ok {
			l.MediaType = t + "+" + suffix
		}
		l.URLs = slices.Clone(l.URLs)
		l.Annotations = maps.Clone(l.Annotations)
		out = append(out, l)
	}
	return out
}
