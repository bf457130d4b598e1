package panics

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Err is wrapped by every error that has been a panic. Its class is internal. After one
// a lock may be held for good.
var Err = errdefs.ErrInternal.WithMessage("this is a bug, and the daemon's log says where")

// AsError is to be deferred. If the function panics, it logs the stack and sets the
// error that the function returns.
func AsError(ctx context.Context, err *error) {
	if p := recover(); p != nil {
		log.G(ctx).WithField("stack", string(debug.Stack())).Errorf("panic: %v", p)
		*err = fmt.Errorf("panic: %v: %w", p, Err)
	}
}
