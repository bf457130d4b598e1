package imageservice

import (
	"context"
	"sync"
)

// Pause pauses a container that is about to be read. What it returns, thaw, is called as
// soon as all is read that is needed: so the pause lasts neither while the operation
// prepares nor while it stores. It is called on every path. Pause decides itself whether
// there is anything to pause. A nil Pause pauses nothing.
type Pause func() (thaw func())

// begin pauses. The function that it returns thaws, once.
func (p Pause) begin() (thaw func()) {
	if p == nil {
		return func() {}
	}
	return sync.OnceFunc(p())
}

type pauseKey struct{}

// WithPause returns a context for [Service.CommitImage], whose parameters are Moby's and
// have no place for a [Pause]. Nothing else looks for it. A nil Pause changes nothing.
func WithPause(ctx context.Context, pause Pause) context.Context {
	if pause == nil {
		return ctx
	}
	return context.WithValue(ctx, pauseKey{}, pause)
}

// pauseOf returns the Pause of [WithPause], or nil.
func pauseOf(ctx context.Context) Pause {
	pause, _ := ctx.Value(pauseKey{}).(Pause)
	return pause
}

// Interrupted returns the ids of the containers that a commit may have paused
// when the daemon crashed. They are for the daemon to thaw, once it has loaded
// its containers.
func (s *Service) Interrupted() []string { return s.interrupted }
