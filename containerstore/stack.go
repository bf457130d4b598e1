package containerstore

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// Stack is what a container's file system is made of, from the top.
type Stack struct {
	// Own are the snapshots that hold what the container wrote: the active one,
	// and those that it stands on.
	Own []string
	// Init is the init layer; "" if there is none.
	Init string
	// Base is the snapshot of the image; "" FROM scratch.
	Base string
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
	return h.stackOf(ctx, t, active)
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
			return s, nil
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
	return s, nil
}
