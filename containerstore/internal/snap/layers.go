package snap

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// Upper is the folder of an active snapshot. ErrUnsupported says that it has
// none that can be exchanged.
func (s *Store) Upper(ctx context.Context, i snapshots.Info) (string, error) {
	o, err := s.Overlay(ctx, i)
	if err != nil {
		return "", err
	}
	return o.Uppers[0], nil
}

// Overlay is where the files of an active snapshot lie, with the same error.
func (s *Store) Overlay(ctx context.Context, i snapshots.Info) (changes.Overlay, error) {
	mounts, err := s.Snapshots.Mounts(ctx, i.Name)
	if err != nil {
		return changes.Overlay{}, fmt.Errorf("look up mounts of %s: %w", i.Name, err)
	}
	if i.Parent != "" && len(mounts) == 1 && mounts[0].Type != "overlay" {
		return changes.Overlay{}, fmt.Errorf("%w: a mount of type %s", diff.ErrUnsupported, mounts[0].Type)
	}
	return changes.ParseOverlay(mounts, i.Parent != "")
}

// Folder is that of a committed snapshot.
func (s *Store) Folder(ctx context.Context, i snapshots.Info) (string, error) {
	layers, err := s.Layers(ctx, i.Name)
	if err != nil {
		return "", err
	}
	return layers.Lowers[0], nil
}

// Layers tells where the layers of a committed snapshot lie, as the lowers of an
// overlay; none for "". The error is diff.ErrUnsupported if its mounts do not
// tell. It may be asked for by several at a time.
func (s *Store) Layers(ctx context.Context, name string) (changes.Overlay, error) {
	if name == "" {
		return changes.Overlay{}, nil
	}
	info, err := s.Snapshots.Stat(ctx, name)
	if err != nil {
		return changes.Overlay{}, fmt.Errorf("look up snapshot %s: %w", name, err)
	}
	// With the label, what a crash leaves is found and removed.
	key := s.Container + "-layers-" + rand.Text() + KeySuffix
	view, err := s.Snapshots.View(ctx, key, name, snapshots.WithLabels(map[string]string{label.Container: s.Container}))
	if err != nil {
		s.drop(ctx, key) // containerd can fail after it has made it
		return changes.Overlay{}, fmt.Errorf("view snapshot %s: %w", name, err)
	}
	// The folders are the snapshots' own, and outlast the view.
	defer s.drop(ctx, key)
	o, err := changes.ParseOverlay(view, info.Parent != "")
	if err != nil {
		return changes.Overlay{}, err
	}
	o.Lowers, o.Uppers = slices.Concat(o.Uppers, o.Lowers), nil
	return o, nil
}

// drop removes a snapshot that nobody needs any more. What it does not get done
// the next operation on the container does.
func (s *Store) drop(ctx context.Context, key string) {
	err := s.Undo(ctx, key)
	if err != nil {
		err = s.Undo(ctx, key) // containerd may be long in collecting it
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", s.Container).Warn("could not remove a temporary snapshot; the next operation on the container's revisions does")
	}
}
