// Package pause carries from who can pause a container to who reads its files what
// pauses it. It decides nothing: freeze.Freezer does, for docker commit in Commit.
package pause

import (
	"context"
	"sync"
)

// Func pauses a container that is about to be read. What it returns, thaw, is called as
// soon as all is read that is needed: so the pause lasts neither while the operation
// prepares nor while it stores. It is called on every path. Func decides itself whether
// there is anything to pause. A nil Func pauses nothing.
type Func func() (thaw func())

// Begin pauses. The function that it returns thaws, once.
func (f Func) Begin() (thaw func()) {
	if f == nil {
		return func() {}
	}
	return sync.OnceFunc(f())
}

type key struct{}

// With returns a context for the verb CommitImage, whose parameters are Moby's and
// have no place for a [Func]. Nothing else looks for it. A nil Func changes nothing.
func With(ctx context.Context, f Func) context.Context {
	if f == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, f)
}

// Of returns the Func of [With], or nil.
func Of(ctx context.Context) Func {
	f, _ := ctx.Value(key{}).(Func)
	return f
}
