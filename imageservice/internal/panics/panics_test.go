package panics_test

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/imageservice/internal/panics"
)

func run(ctx context.Context, f func() error) (err error) {
	defer panics.AsError(ctx, &err)
	return f()
}

func TestAsError(t *testing.T) {
	err := run(t.Context(), func() error { panic("ulimits") })
	const want = "panic: ulimits: this is a bug, and the daemon's log says where"
	if !errors.Is(err, panics.Err) || !errdefs.IsInternal(err) || err.Error() != want {
		t.Error(err)
	}
	failure := errors.New("no")
	if err := run(t.Context(), func() error { return failure }); err != failure || errors.Is(err, panics.Err) { //nolint:errorlint // the same one
		t.Error(err)
	}
}
