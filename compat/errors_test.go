package compat_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
)

// TestErrorsArePrintable: Docker's command prints an error as it gets it.
func TestErrorsArePrintable(t *testing.T) {
	cause := errors.New("cause")
	err := compat.DockerError(fmt.Errorf("file /\x1b[2J\u202e\nok: %w: %w", cause, cerrdefs.ErrNotFound))
	if want := `file /\x1b[2J\u202e` + "\n  ok: cause: not found"; err.Error() != want {
		t.Errorf("the text is %q, want %q", err, want)
	}
	if !cerrdefs.IsNotFound(err) || !errors.Is(err, cause) {
		t.Errorf("%v has lost its class or its cause", err)
	}
	if again := compat.PrintableError(err); again.Error() != err.Error() {
		t.Errorf("again it is %q", again)
	}
	long := compat.PrintableError(errors.New(strings.Repeat("\x1b", 1<<20)))
	if n := len(long.Error()); n > 20_000 || compat.PrintableError(long).Error() != long.Error() {
		t.Errorf("a long text has %d bytes", n)
	}
	if compat.PrintableError(nil) != nil || compat.DockerError(nil) != nil {
		t.Error("there is an error without an error")
	}
}
