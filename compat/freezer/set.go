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
	held map[key]*hold
}

// key is a container as long as it runs: when it is restarted its control group
// is a new one of the same name.
type key struct {
	pid int
	id  string
}

type hold struct {
	users int           // guarded by the set's mu
	over  chan struct{} // closed when there are none

	mu    sync.Mutex // held while freezing
	group *Cgroup    // nil if not frozen
}

// Hold freezes the control group of a container, see [Find] and [Cgroup.Freeze],
// unless another user of the set has, and nobody has thawed it since. The caller
// calls release once; the last one's thaws, and returns true.
func (s *Set) Hold(ctx context.Context, pid int, id string) (release func() (last bool, err error), err error) {
	k := key{pid, id}
	h := s.enter(k)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.freeze(ctx, k); err != nil {
		s.leave(k, h)
		return nil, err
	}
	return func() (bool, error) { return s.release(k, h) }, nil
}

// Held reports whether somebody holds the container, or is about to.
func (s *Set) Held(pid int, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key{pid, id}] != nil
}

// Wait returns when nobody holds the container any more; at once if nobody does.
func (s *Set) Wait(pid int, id string) {
	s.mu.Lock()
	h := s.held[key{pid, id}]
	s.mu.Unlock()
	if h != nil {
		<-h.over
	}
}

func (h *hold) freeze(ctx context.Context, k key) error {
	group := h.group
	if group == nil {
		var err error
		if group, err = Find(k.pid, k.id); err != nil {
			return err
		}
	} else if asked, err := group.version.asked(group.dir); asked && err == nil {
		return nil
	}
	if err := group.Freeze(ctx); err != nil {
		return err
	}
	h.group = group
	return nil
}

func (s *Set) enter(k key) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[k]
	if !ok {
		if s.held == nil {
			s.held = map[key]*hold{}
		}
		h = &hold{over: make(chan struct{})}
		s.held[k] = h
	}
	h.users++
	return h
}

func (s *Set) leave(k key, h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
	if h.users == 0 {
		s.end(k, h)
	}
}

func (s *Set) end(k key, h *hold) {
	delete(s.held, k)
	close(h.over)
}

// release thaws before anybody can enter anew, who would find it frozen.
func (s *Set) release(k key, h *hold) (last bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
	if h.users > 0 {
		return false, nil
	}
	defer s.end(k, h)
	return true, h.group.Thaw()
}
