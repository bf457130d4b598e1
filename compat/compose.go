package compat

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// Labels of the containers that Docker Compose makes (pkg/api/labels.go of Compose 2.40).
const (
	composeLabels = "com.docker.compose."

	LabelComposeProject = composeLabels + "project"
	LabelComposeService = composeLabels + "service"
	// LabelComposeOneoff is "True" on a container of `compose run`.
	LabelComposeOneoff = composeLabels + "oneoff"
	// LabelComposeNumber counts the containers of a service from 1.
	LabelComposeNumber = composeLabels + "container-number"
	// LabelComposeDependsOn lists what a service depends on, as
	// "db:service_healthy:false,cache:service_started:true".
	LabelComposeDependsOn = composeLabels + "depends_on"
	// LabelComposeImage holds a digest of the image of the service. `compose up` makes the
	// container anew if the service's name of an image means another one.
	LabelComposeImage = composeLabels + "image"
	// LabelComposeImageName, which is Baleen's, holds the service's name of an image on a
	// container that was upgraded to an image by another name.
	LabelComposeImageName = "io.baleen.compose.image"
)

// ImageDigests are the digests by which an image is known. Which one Compose writes into
// LabelComposeImage depends on its version.
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
	old, ok := next.Labels[LabelComposeImage]
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
	next.Labels[LabelComposeImage] = follows.String()
	if _, ok := next.Labels[LabelComposeImageName]; !ok {
		next.Labels[LabelComposeImageName] = was
	}
	if ComposeImage(next) == next.Image {
		delete(next.Labels, LabelComposeImageName)
	}
	f := &following{}
	f.changed("Labels "+LabelComposeImage, old, next.Labels[LabelComposeImage])
	return f.changes
}

// ComposeImage returns the name that the image of a container has in its compose file.
func ComposeImage(c *moby.ContainerConfig) string {
	if name := c.Labels[LabelComposeImageName]; name != "" {
		return name
	}
	return c.Image
}

// withoutCompose returns an image's labels without those that Compose writes: they are in
// the image if it was committed from a container of a project, and describe that one.
func withoutCompose(labels map[string]string) map[string]string {
	rest := maps.Clone(labels)
	maps.DeleteFunc(rest, func(name, _ string) bool {
		return strings.HasPrefix(name, composeLabels) || name == LabelComposeImageName
	})
	return rest
}
