package compat

import (
	"context"
	"errors"
	"strings"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/compat/printable"
)

// longestError is how many bytes of an error's text are told: a number in a
// checkpoint may have a million digits.
const longestError = 16 << 10

// PrintableError is an error whose text is for a person, and can be given to a terminal,
// which Docker's command does: names and paths in it are often a container's or an image's.
// The id of a container is short and stands there once, and the class at the end is left
// out where the rest says what is wrong. What is very long is cut. The chain stays.
func PrintableError(err error) error {
	if err == nil {
		return nil
	}
	text := message(err)
	const cut = "…"
	if len(text) > longestError {
		text = strings.ToValidUTF8(text[:longestError/5], "") + cut // escaped it may be four times as long
	}
	if text = printable.Text(text); text == err.Error() {
		return err
	}
	return printableError{err, text}
}

type printableError struct {
	err  error
	text string
}

func (e printableError) Error() string { return e.text }
func (e printableError) Unwrap() error { return e.err }

// DockerError gives an error of containerd's classes the class that Docker's
// API turns into an HTTP status: not found 404, conflict 409, and so on. The
// text is made printable, and the chain stays. What has no class is a system error,
// 500.
func DockerError(err error) error {
	if err == nil {
		return nil
	}
	err = PrintableError(err)
	switch {
	case errors.Is(err, context.Canceled):
		return moby.Cancelled(err)
	case errors.Is(err, context.DeadlineExceeded):
		return moby.Deadline(err)
	case cerrdefs.IsNotFound(err):
		return moby.NotFound(err)
	case cerrdefs.IsAlreadyExists(err), cerrdefs.IsConflict(err), cerrdefs.IsFailedPrecondition(err):
		return moby.Conflict(err)
	case cerrdefs.IsInvalidArgument(err):
		return moby.InvalidParameter(err)
	case cerrdefs.IsUnavailable(err):
		return moby.Unavailable(err)
	case cerrdefs.IsNotImplemented(err):
		return moby.NotImplemented(err)
	case cerrdefs.IsUnauthorized(err):
		return moby.Unauthorized(err)
	case cerrdefs.IsPermissionDenied(err):
		return moby.Forbidden(err)
	default:
		return moby.System(err)
	}
}
