package freezer

import (
	"context"
	"fmt"
	"sync"
)

// Set shares freezing between those who want the same container to stand still:
// it does from the first one's Hold to the last one's release. The zero value is
// empty.
type Set struct {
	mu     sync.Mutex
	held   map[key]*hold
	thawed map[key]*thawed
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
	err = s.idle(ctx, k)
	if err == nil {
		err = h.freeze(ctx, k)
	}
	if err != nil {
		s.leave(k, h)
		return nil, err
	}
	return func() (bool, error) { return s.release(k, h) }, nil
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

// thawed are those who need a container to go on.
type thawed struct {
	users int           // guarded by the set's mu
	over  chan struct{} // closed when there are none
}

// KeepThawed waits like Wait, and then keeps Hold waiting until the caller calls
// release: for what must not begin in the middle of a pause, nor see one begin.
func (s *Set) KeepThawed(pid int, id string) (release func()) {
	k := key{pid, id}
	for {
		s.mu.Lock()
		h := s.held[k]
		if h == nil {
			break
		}
		s.mu.Unlock()
		<-h.over
	}
	defer s.mu.Unlock()
	t := s.thawed[k]
	if t == nil {
		if s.thawed == nil {
			s.thawed = map[key]*thawed{}
		}
		t = &thawed{over: make(chan struct{})}
		s.thawed[k] = t
	}
	t.users++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.thawed, k)
			close(t.over)
		}
	}
}

// idle waits until nobody needs the container to go on. Who comes later waits for
// the hold that has been entered.
func (s *Set) idle(ctx context.Context, k key) error {
	s.mu.Lock()
	t := s.thawed[k]
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("freeze container %s: something is being started in it: %w", k.id, ctx.Err())
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
