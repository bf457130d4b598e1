package compat_test

import (
	"maps"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/compose"
	"github.com/baleen-project/baleen/compat/moby"
)

// The label has a digest of the same kind after an upgrade, and the name of the service's
// image is kept while the container stands on an image by another name.
func TestFollowCompose(t *testing.T) {
	of := func(image string) compat.ImageDigests {
		return compat.ImageDigests{
			ID: digest.FromString(image + " index"), Manifest: digest.FromString(image + " manifest"), Config: digest.FromString(image + " config"),
		}
	}
	from, to := of("old"), of("new")
	for name, tc := range map[string]struct {
		was, to    string // names of images
		label      digest.Digest
		kept       string // the name that is kept already
		want       digest.Digest
		wantedName string
	}{
		"index":                 {"app", "app", from.ID, "", to.ID, ""},
		"manifest":              {"app", "app", from.Manifest, "", to.Manifest, ""},
		"config":                {"app", "app", from.Config, "", to.Config, ""},
		"unknown":               {"app", "app", "sha256:0", "", to.ID, ""},
		"another name":          {"app", "app:2", from.ID, "", to.ID, "app"},
		"a third name":          {"app:2", "app:3", from.ID, "app", to.ID, "app"},
		"the service's again":   {"app:2", "app", from.ID, "app", to.ID, ""},
		"no container of it":    {"app", "app:2", "", "", "", ""},
		"an id, then its image": {"app", to.ID.String(), from.ID, "", to.ID, "app"},
	} {
		t.Run(name, func(t *testing.T) {
			labels := map[string]string{"mine": "yes"}
			set := func(labels map[string]string, label digest.Digest, kept string) {
				if label != "" {
					labels[compose.LabelImage] = label.String()
				}
				if kept != "" {
					labels[compose.LabelImageName] = kept
				}
			}
			want := maps.Clone(labels)
			set(labels, tc.label, tc.kept)
			set(want, tc.want, tc.wantedName)
			next := &moby.ContainerConfig{Image: tc.to, Labels: labels}
			changes := compat.FollowCompose(next, tc.was, from, to)
			if !maps.Equal(next.Labels, want) {
				t.Errorf("the labels are %v, not %v", next.Labels, want)
			}
			if wanted := tc.label != tc.want; wanted != (len(changes) == 1) {
				t.Errorf("the changes are %+v", changes)
			}
		})
	}
}

// An image that was committed from a container of a project has the labels of that one.
// They do not take the place of those that Compose gave the container, nor go with the image.
func TestComposeLabelsAreNoImages(t *testing.T) {
	const service = compose.LabelService
	labels := func(service string) map[string]string {
		return map[string]string{compose.LabelService: service, "version": service}
	}
	next, changes := compat.Follow(
		&moby.ContainerConfig{Labels: labels("db")}, &moby.ContainerConfig{Labels: labels("db")}, &moby.ContainerConfig{Labels: labels("web")}, nil)
	if next.Labels[service] != "db" || next.Labels["version"] != "web" || len(changes) != 1 {
		t.Errorf("the labels are %v, and the changes %+v", next.Labels, changes)
	}
	next, _ = compat.Follow(&moby.ContainerConfig{Labels: labels("db")}, &moby.ContainerConfig{Labels: labels("db")}, &moby.ContainerConfig{}, nil)
	if next.Labels[service] != "db" {
		t.Errorf("the container has lost the labels of Compose: %v", next.Labels)
	}
}
