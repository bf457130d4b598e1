package revisions

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// Image says that a revision of a container is of an image.
type Image struct {
	Container string // id
	Revision  int
	Image     moby.ImageID
}

// RevisionImages lists the images of all revisions of all containers, in one
// call to containerd.
func (s *Store) RevisionImages(ctx context.Context) ([]Image, error) {
	var list []Image
	seen := map[Image]bool{} // one that was merged is there twice
	err := s.Files.Snapshots("").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		r, ok := revisionImage(i)
		if ok && !seen[r] {
			seen[r] = true
			list = append(list, r)
		}
		return nil
	}, fmt.Sprintf("labels.%q", containerstore.LabelImage))
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("list images of revisions: %w", err))
	}
	return list, nil
}

// revisionImage reads the name of a revision's snapshot, "<container>.r<number>"
// or "<container>.c<number>", and its label.
func revisionImage(i snapshots.Info) (Image, bool) {
	dot := strings.LastIndexByte(i.Name, '.')
	if dot < 0 || len(i.Name) < dot+2 {
		return Image{}, false
	}
	n, err := strconv.Atoi(i.Name[dot+2:])
	return Image{Container: i.Name[:dot], Revision: n, Image: moby.ImageID(i.Labels[containerstore.LabelImage])}, err == nil
}
