package diff

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/internal/text"
)

// ErrChanged says that a file changed while it was read. It is errdefs'
// ErrConflict.
var ErrChanged = errdefs.ErrConflict.WithMessage("changed while it was read")

// ErrUnsupported says that a mount or a file is of a kind that only the walking
// differ can read. The text says what it is.
var ErrUnsupported = errors.New("not readable as an overlay")

// ErrReserved says that a file's name cannot be in a layer. It is errdefs'
// ErrConflict.
var ErrReserved = errdefs.ErrConflict.WithMessage("reserved name")

// ErrTooLong says that a layer cannot hold a path. It is errdefs' ErrConflict.
var ErrTooLong = errdefs.ErrConflict.WithMessage("path too long for a layer")

// TooLong refuses a path of that length, of which at least the beginning is given.
func TooLong(path string, length int) error {
	return fmt.Errorf("%q: a path of %d bytes can be reached step by step, but a layer holds paths of up to %d only, which can be unpacked: move or remove it: %w: %w", text.Start(path), length, MaxPath-1, ErrTooLong, unix.ENAMETOOLONG)
}
