package lifecycle_test

import (
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// TestUpgradeToWhatTheNameMeans: an upgrade that names no image goes to the name of the
// container's own, and is refused if the container was created from an id.
func TestUpgradeToWhatTheNameMeans(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, tc := range []struct{ config, asked, want string }{
		{"app:1", "", "app:1"},
		{"app:1", "app:2", "app:2"},
		{"0123", "", "0123"}, // a name as well
		{id[:12], "", ""},
		{"sha256:" + id, "", ""},
		{"", "", ""},
		{"sha256:" + id, "app:2", "app:2"},
	} {
		w := newWorld(t, true)
		w.c.Config.Image, w.c.ImageID = tc.config, moby.ImageID("sha256:"+id)
		err := w.ops.Upgrade(t.Context(), "web", api.UpgradeRequest{Image: tc.asked, DryRun: true}, func(api.Progress) {})
		if w.upgradedTo != tc.want || tc.want != "" && err != nil {
			t.Errorf("%q of a container of %q goes to %q, want %q: %v", tc.asked, tc.config, w.upgradedTo, tc.want, err)
		}
		if tc.want == "" && (!cerrdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "container web was created from an image by its id")) {
			t.Errorf("without an image for a container of %q: %v", tc.config, err)
		}
	}
}
