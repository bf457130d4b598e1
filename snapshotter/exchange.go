package snapshotter

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Exchange gives each of two folders the other's name, in one step. The error is
// errors.ErrUnsupported where the file system cannot do that, or they are on two.
// Nothing is synced to disk.
func Exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("exchange %s and %s: %w: %w", a, b, err, errors.ErrUnsupported)
	case err != nil:
		return fmt.Errorf("exchange %s and %s: %w", a, b, err)
	}
	return nil
}
