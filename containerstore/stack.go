package containerstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/diff/changes"
)

// Stack is what a container's file system is made of, from the top.
type Stack struct {
	// Own are the snapshots that hold what the container wrote: the active one,
	// and those that it stands on.
	Own []string
	// Init is the init layer; "" if there is none.
	Init string
	// Base is the snapshot of the image; "" FROM scratch. If IDs are Remapped,
	// it is what snapshotter.Remapped made of it.
	Base string
	// IDs are those of its files; AsStored if there is no init layer.
	IDs IDs
	// Made is when the active one was made. Whatever seals what the container
	// wrote gives it another one of the same name.
	Made time.Time
}

// Stack tells what the container stands on.
func (h *History) Stack(ctx context.Context) (Stack, error) {
	active, err := h.Snapshots.Stat(ctx, h.Container)
	if err != nil {
		return Stack{}, fmt.Errorf("look up snapshot %s: %w", h.Container, err)
	}
	t := &tree{id: h.Container}
	if _, _, _, ok := numbered(h.Container, active.Parent); ok {
		if t, err = h.load(ctx); err != nil {
			return Stack{}, err
		}
	}
	s, err := h.stackOf(ctx, t, active)
	s.Made = active.Created
	return s, err
}

// stackOf follows the parents of a snapshot of the container.
func (h *History) stackOf(ctx context.Context, t *tree, i snapshots.Info) (Stack, error) {
	s := Stack{Own: []string{i.Name}, Base: i.Parent}
	for {
		parent, ok := t.all[s.Base]
		if !ok {
			break
		}
		if _, _, suffix, _ := numbered(h.Container, parent.Name); suffix == initSuffix {
			s.Init, s.Base = parent.Name, parent.Parent
			ids, err := idsOf(parent)
			s.IDs = ids
			return s, err
		}
		s.Own, s.Base = append(s.Own, parent.Name), parent.Parent
	}
	if s.Base != h.Container+initSuffix {
		return s, nil
	}
	birth, err := h.Snapshots.Stat(ctx, s.Base)
	if err != nil {
		return Stack{}, fmt.Errorf("look up snapshot %s: %w", s.Base, err)
	}
	s.Init, s.Base = s.Base, birth.Parent
	s.IDs, err = idsOf(birth)
	return s, err
}

// Layers tells where the layers of a committed snapshot lie, as the lowers of an
// overlay; none for "". The error is diff.ErrUnsupported if its mounts do not
// tell. It may be asked for by several at a time.
func (h *History) Layers(ctx context.Context, name string) (changes.Overlay, error) {
	if name == "" {
		return changes.Overlay{}, nil
	}
	info, err := h.Snapshots.Stat(ctx, name)
	if err != nil {
		return changes.Overlay{}, fmt.Errorf("look up snapshot %s: %w", name, err)
	}
	// With the label, what a crash leaves is found and removed.
	key := h.Container + "-layers-" + rand.Text() + keySuffix
	view, err := h.Snapshots.View(ctx, key, name, snapshots.WithLabels(map[string]string{labelContainer: h.Container}))
	if err != nil {
		return changes.Overlay{}, fmt.Errorf("view snapshot %s: %w", name, err)
	}
	// The folders are the snapshots' own, and outlast the view.
	defer h.drop(ctx, key)
	o, err := changes.ParseOverlay(view, info.Parent != "")
	if err != nil {
		return changes.Overlay{}, err
	}
	o.Lowers, o.Uppers = slices.Concat(o.Uppers, o.Lowers), nil
	return o, nil
}

// drop removes a snapshot that nobody needs any more. What it does not get done
// the next operation on the container does.
func (h *History) drop(ctx context.Context, key string) {
	err := h.undo(ctx, key)
	if err != nil {
		err = h.undo(ctx, key) // containerd may be long in collecting it
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("could not remove a temporary snapshot; the next operation on the container's revisions does")
	}
}
