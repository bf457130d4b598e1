package diff

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// raced gives errors that a change meanwhile explains the class of ErrChanged.
func raced(err error) error {
	for _, race := range []error{unix.ELOOP, unix.ENOTDIR, unix.ENOENT, unix.ESTALE} {
		if errors.Is(err, race) && !errors.Is(err, ErrChanged) {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
	}
	return err
}
