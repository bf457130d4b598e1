package compat

import (
	"context"
	"errors"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/errdefs"
)

// DockerError gives an error of containerd's classes the class that Docker's
// API turns into an HTTP status: not found 404, conflict 409, and so on. The
// text and the chain stay. What has no class is a system error, 500.
func DockerError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errdefs.Cancelled(err)
	case errors.Is(err, context.DeadlineExceeded):
		return errdefs.Deadline(err)
	case cerrdefs.IsNotFound(err):
		return errdefs.NotFound(err)
	case cerrdefs.IsAlreadyExists(err), cerrdefs.IsConflict(err), cerrdefs.IsFailedPrecondition(err):
		return errdefs.Conflict(err)
	case cerrdefs.IsInvalidArgument(err):
		return errdefs.InvalidParameter(err)
	case cerrdefs.IsUnavailable(err):
		return errdefs.Unavailable(err)
	case cerrdefs.IsNotImplemented(err):
		return errdefs.NotImplemented(err)
	case cerrdefs.IsUnauthorized(err):
		return errdefs.Unauthorized(err)
	case cerrdefs.IsPermissionDenied(err):
		return errdefs.Forbidden(err)
	default:
		return errdefs.System(err)
	}
}
