package containerstore

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

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
	return h.store().Layers(ctx, name)
}

// Usage returns what a snapshot of the container takes on disk, in bytes. What
// an exchanged folder takes the snapshotter has not seen: it is measured once.
func (h *History) Usage(ctx context.Context, name string) (int64, error) {
	return h.store().Usage(ctx, name)
}
