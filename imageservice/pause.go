package imageservice

import (
	"context"
	"sync"
)

type pauseKey struct{}

// WithPause returns a context for committing a container that may be running.
// The commit calls pause when it is about to read the container, and what that
// returns, thaw, as soon as it has read all that it needs: so the pause lasts
// neither while the commit prepares nor while the image is made. It thaws on
// every path. pause decides itself whether there is anything to pause.
func WithPause(ctx context.Context, pause func() (thaw func())) context.Context {
	return context.WithValue(ctx, pauseKey{}, pause)
}

// pauses reports whether a commit may pause its container.
func pauses(ctx context.Context) bool {
	_, ok := ctx.Value(pauseKey{}).(func() func())
	return ok
}

// pause pauses the container of a commit, if that is asked for. The function
// that it returns thaws, once.
func pause(ctx context.Context) (thaw func()) {
	if f, ok := ctx.Value(pauseKey{}).(func() func()); ok {
		return sync.OnceFunc(f())
	}
	return func() {}
}

// Interrupted returns the ids of the containers that a commit may have paused
// when the daemon crashed. They are for the daemon to thaw, once it has loaded
// its containers.
func (s *Service) Interrupted() []string { return s.interrupted }
