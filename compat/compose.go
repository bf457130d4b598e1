package compat

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/compose"
	"github.com/baleen-project/baleen/compat/moby"
)

// ImageDigests are the digests by which an image is known. Which one Compose writes into
// compose.LabelImage depends on its version.
type ImageDigests struct {
	ID       digest.Digest // as docker inspect shows it: of the index or the manifest
	Manifest digest.Digest // of the platform
	Config   digest.Digest
}

// Has reports whether a text is one of an image's digests.
func (d ImageDigests) Has(text string) bool {
	return text != "" && slices.Contains([]digest.Digest{d.ID, d.Manifest, d.Config}, digest.Digest(text))
}

// FollowCompose writes into the labels of a configuration, which is that of a container
// after its upgrade, what Compose compares: the digest of the image that the container then
// stands on, of the kind that Compose has written for the old image. was is the name of the
// old image. The labels of other containers stay as they are.
func FollowCompose(next *moby.ContainerConfig, was string, from, to ImageDigests) []api.ConfigChange {
	old, ok := next.Labels[compose.LabelImage]
	if !ok {
		return nil
	}
	follows := to.ID
	switch digest.Digest(old) {
	case from.ID:
	case from.Manifest:
		follows = to.Manifest
	case from.Config:
		follows = to.Config
	}
	next.Labels[compose.LabelImage] = follows.String()
	if _, ok := next.Labels[compose.LabelImageName]; !ok {
		next.Labels[compose.LabelImageName] = was
	}
	if compose.ImageName(next.Labels, next.Image) == next.Image {
		delete(next.Labels, compose.LabelImageName)
	}
	f := &following{}
	f.changed("Labels "+compose.LabelImage, old, next.Labels[compose.LabelImage])
	return f.changes
}

// withoutCompose returns an image's labels without those that Compose writes: they are in
// the image if it was committed from a container of a project, and describe that one.
func withoutCompose(labels map[string]string) map[string]string {
	rest := maps.Clone(labels)
	maps.DeleteFunc(rest, func(name, _ string) bool {
		return strings.HasPrefix(name, compose.Prefix) || name == compose.LabelImageName
	})
	return rest
}
