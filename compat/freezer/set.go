package freezer

import (
	"context"
	"sync"
)

// Set shares freezing between those who want the same container to stand still:
// it does from the first one's Hold to the last one's release. The zero value is
// empty.
type Set struct {
	mu   sync.Mutex
	held map[string]*hold
}

type hold struct {
	users int // guarded by the set's mu

	mu    sync.Mutex // held while freezing
	group *Cgroup    // nil if not frozen
}

// Hold freezes the control group of a container, see [Find] and [Cgroup.Freeze],
// unless another user of the set has. The caller calls release once; the last
// one's thaws, and returns true.
func (s *Set) Hold(ctx context.Context, pid int, id string) (release func() (last bool, err error), err error) {
	h := s.enter(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.group == nil {
		if h.group, err = freeze(ctx, pid, id); err != nil {
			h.group = nil
			s.leave(id, h)
			return nil, err
		}
	}
	return func() (bool, error) { return s.release(id, h) }, nil
}

// Held reports whether somebody holds the container, or is about to.
func (s *Set) Held(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[id] != nil
}

func freeze(ctx context.Context, pid int, id string) (*Cgroup, error) {
	c, err := Find(pid, id)
	if err != nil {
		return nil, err
	}
	return c, c.Freeze(ctx)
}

func (s *Set) enter(id string) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[id]
	if !ok {
		if s.held == nil {
			s.held = map[string]*hold{}
		}
		h = &hold{}
		s.held[id] = h
	}
	h.users++
	return h
}

func (s *Set) leave(id string, h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
	if h.users == 0 {
		delete(s.held, id)
	}
}

// release thaws before anybody can enter anew, who would find it frozen.
func (s *Set) release(id string, h *hold) (last bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
	if h.users > 0 {
		return false, nil
	}
	delete(s.held, id)
	return true, h.group.Thaw()
}
