package compat

import (
	"strconv"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Labels of image records, as Moby's classic builder reads them
// (daemon/containerd/image_builder.go of Moby 28.5).
const (
	// LabelParent holds the digest of the image that this one was made from.
	LabelParent = "org.mobyproject.image.parent"
	// LabelFromScratch is "1" on an image that has no parent.
	LabelFromScratch = "org.mobyproject.image.fromscratch"
	// LabelContainerConfig holds the digest of the blob with the configuration
	// of the container that the image was committed from. Its presence is how
	// the builder's cache knows an image that was made here.
	LabelContainerConfig = "org.mobyproject.image.containerconfig"
)

// Labels of content.
const (
	// LabelConfigOfImage, on a container configuration's blob, holds the image
	// that it describes.
	LabelConfigOfImage = "org.mobyproject.content.image"
	// LabelUncompressed, on a compressed layer, holds its diffID.
	LabelUncompressed = labels.LabelUncompressed

	gcRefContainerConfig = "containerd.io/gc.ref.content.moby/container.config"
	gcRefContent         = "containerd.io/gc.ref.content."
	gcRefSnapshot        = "containerd.io/gc.ref.snapshot."
)

// MediaTypeContainerConfig is the type under which Moby stores the
// configuration of the container that an image was committed from.
const MediaTypeContainerConfig = "application/vnd.docker.container.image.v1+json"

// ManifestLabels keep a manifest's config and layers from garbage collection
// for as long as the manifest lives.
func ManifestLabels(config ocispec.Descriptor, layers []ocispec.Descriptor) map[string]string {
	labels := map[string]string{gcRefContent + "0": config.Digest.String()}
	for i, l := range layers {
		labels[gcRefContent+strconv.Itoa(i+1)] = l.Digest.String()
	}
	return labels
}

// ConfigLabels keep what an image's config stands for, the unpacked snapshot;
// there is none if chainID is empty because the image has no layer.
func ConfigLabels(snapshotter string, chainID digest.Digest) map[string]string {
	labels := map[string]string{}
	if chainID != "" {
		labels[gcRefSnapshot+snapshotter] = chainID.String()
	}
	return labels
}

// RefContainerConfig adds, to the labels of an image's config, that which keeps
// the configuration of the container that the image was committed from.
func RefContainerConfig(labels map[string]string, containerConfig digest.Digest) {
	labels[gcRefContainerConfig] = containerConfig.String()
}

// ImageLabels mark an image record as committed from a container of parent,
// which is empty for a container made FROM scratch.
func ImageLabels(parent, containerConfig digest.Digest) map[string]string {
	labels := map[string]string{
		LabelParent:          parent.String(),
		LabelContainerConfig: containerConfig.String(),
	}
	if parent == "" {
		labels[LabelFromScratch] = "1"
	}
	return labels
}

// DanglingName is the name of the record of an image that has no tag. Moby's
// list, prune and tag know an untagged image by it.
func DanglingName(image digest.Digest) string {
	return "moby-dangling@" + image.String()
}
