package compose

import (
	"maps"
	"slices"
	"strings"
)

// Prefix begins the labels of Compose (pkg/api/labels.go of Compose 2.40).
const Prefix = "com.docker.compose."

// Labels of a container.
const (
	LabelProject = Prefix + "project"
	LabelService = Prefix + "service"
	// LabelOneoff is "True" on a container of `docker compose run`.
	LabelOneoff = Prefix + "oneoff"
	// LabelNumber counts the containers of a service from 1.
	LabelNumber = Prefix + "container-number"
	// LabelDependsOn lists the services that a service depends on, as
	// "db:service_healthy:false,cache:service_started:true".
	LabelDependsOn = Prefix + "depends_on"
	// LabelImage holds a digest of the image of the service. `docker compose up` makes the
	// container anew if the service's name of an image means another one.
	LabelImage = Prefix + "image"
	// LabelImageName, which is Baleen's, holds the service's name of an image on a
	// container that was upgraded to an image by another name.
	LabelImageName = "io.baleen.compose.image"
)

// ImageName returns the name that the image of a container has in its compose file, given
// the container's labels and the name of the image that it stands on.
func ImageName(labels map[string]string, image string) string {
	if name := labels[LabelImageName]; name != "" {
		return name
	}
	return image
}

// IsDefaultImage reports whether the name of an image is the one that Compose gives to what
// it builds for a service of a project that names no image (GetImageNameOrDefault of
// pkg/api/api.go, Compose 2.40). No registry has it.
func IsDefaultImage(project, service, image string) bool {
	image = strings.TrimSuffix(strings.TrimPrefix(image, "docker.io/library/"), ":latest")
	return image == project+"-"+service || image == project+"_"+service
}

// Order returns services in an order in which each comes after those that it depends on,
// and else by name. dependsOn has the label of each service. Services that depend on each
// other in a circle come in the order of their names.
func Order(dependsOn map[string]string) []string {
	order := make([]string, 0, len(dependsOn))
	seen := map[string]bool{}
	var visit func(service string)
	visit = func(service string) {
		label, ok := dependsOn[service]
		if seen[service] || !ok {
			return
		}
		seen[service] = true
		for _, dependency := range strings.Split(label, ",") {
			name, _, _ := strings.Cut(dependency, ":")
			visit(name)
		}
		order = append(order, service)
	}
	for _, service := range slices.Sorted(maps.Keys(dependsOn)) {
		visit(service)
	}
	return order
}
