package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
)

// Raced gives errors that a change meanwhile explains the class of ErrChanged.
func Raced(err error) error {
	for _, race := range []error{unix.ELOOP, unix.ENOTDIR, unix.ENOENT, unix.ESTALE} {
		if errors.Is(err, race) && !errors.Is(err, diff.ErrChanged) {
			return fmt.Errorf("%w: %w", diff.ErrChanged, err)
		}
	}
	return err
}
