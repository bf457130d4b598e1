package lifecycle_test

import (
	"context"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

func TestImagesOfRevisionsCount(t *testing.T) {
	w := newWorld(t, true)
	w.c.ImageID = "sha256:now"
	w.images = []revisions.Image{
		{Container: id, Revision: 3, Image: "sha256:former"},
		{Container: id, Revision: 2, Image: "sha256:former"},
		{Container: "of one that is removed", Revision: 1, Image: "sha256:gone"},
	}
	images := lifecycle.NewImages(store{w})
	if list := images.List(); len(list) != 1 || len(w.calls) != 0 {
		t.Errorf("before the image service is there: %d containers, calls %q", len(list), w.calls)
	}
	images.Use(w)
	var names []string
	images.ApplyAll(func(c *moby.Container) { names = append(names, c.ID+c.Name+" "+c.Config.Image) })
	if want := id + "/web old," + id + "revision 2 sha256:former"; strings.Join(names, ",") != want {
		t.Errorf("containers %q, want %q", names, want)
	}
	if list := images.List(); len(list) != 2 || len(w.calls) != 1 {
		t.Errorf("%d containers, calls %q", len(list), w.calls)
	}
	uses := func(image moby.ImageID) func(*moby.Container) bool {
		return func(c *moby.Container) bool { return c.ImageID == image }
	}
	for image, want := range map[moby.ImageID]string{"sha256:now": "/web", "sha256:former": "revision 2", "sha256:gone": ""} {
		c := images.First(uses(image))
		if want == "" && c != nil || want != "" && (c == nil || c.Name != want) {
			t.Errorf("the first of %s is %+v, want %q", image, c, want)
		}
	}
}

// What is known holds until the next operation on revisions, and a failure is not known.
func TestImagesOfRevisionsAreReadAgain(t *testing.T) {
	w := newWorld(t, true)
	images := lifecycle.NewImages(store{w})
	images.Use(w)
	w.ops = lifecycle.New(lifecycle.Config{Daemon: w, Files: w, Tasks: w, Freezer: w, Images: images})
	w.at = w.failing("revision images", 1)
	if list := images.List(); len(list) != 1 {
		t.Errorf("containers %v", list)
	}
	w.images = []revisions.Image{{Container: id, Revision: 1, Image: "sha256:former"}}
	if list := images.List(); len(list) != 2 {
		t.Errorf("after a failure: %v", list)
	}
	w.images = nil
	if list := images.List(); len(list) != 2 {
		t.Errorf("it is read without need: %v", list)
	}
	if err := w.ops.Do(t.Context(), "web", "a test", func(context.Context, *moby.Container) error {
		if list := images.List(); len(list) != 1 {
			t.Errorf("during an operation: %v", list)
		}
		w.images = []revisions.Image{{Container: id, Revision: 1, Image: "sha256:former"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if list := images.List(); len(list) != 2 {
		t.Errorf("after an operation: %v", list)
	}
}

func TestDeleteErrorNamesTheRevision(t *testing.T) {
	w := newWorld(t, true)
	w.c.ImageID = "sha256:now"
	w.images = []revisions.Image{{Container: id, Revision: 4, Image: "sha256:former"}}
	images := lifecycle.NewImages(store{w})
	images.Use(w)
	resolved := func(id moby.ImageID, err error) func(context.Context, string) (moby.ImageID, error) {
		return func(context.Context, string) (moby.ImageID, error) { return id, err }
	}
	busy := moby.Conflict(errFault)
	for _, tc := range []struct {
		name     string
		err      error
		id       moby.ImageID
		resolves error
		want     string // "" for the error itself
	}{
		{name: "none"},
		{name: "another failure", err: moby.NotFound(errFault), id: "sha256:former"},
		{name: "of a container", err: busy, id: "sha256:now"},
		{name: "of nobody here", err: busy, id: "sha256:other"},
		{name: "unknown", err: busy, id: "sha256:former", resolves: errFault},
		{name: "of a revision", err: busy, id: "sha256:former", want: "unable to delete app (must be forced) - image is being used by web (revision 4)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := images.DeleteError(t.Context(), "app", tc.err, resolved(tc.id, tc.resolves))
			if tc.want == "" {
				if got != tc.err { //nolint:errorlint // it is to be the same
					t.Errorf("error %v, want %v", got, tc.err)
				}
				return
			}
			wantConflict(t, got, tc.want)
		})
	}
}
