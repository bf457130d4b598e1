package imageservice

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// useTempMounts has temporary mounts made below dir, and removes those that a
// crash left there: none can be in use yet.
func useTempMounts(ctx context.Context, dir string) {
	if err := clearTempMounts(dir); err != nil {
		log.G(ctx).WithError(err).WithField("folder", dir).Warn("could not remove the temporary mounts of interrupted operations")
	}
}

func clearTempMounts(dir string) error {
	if err := mount.SetTempMountLocation(dir); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	warnings, err := mount.CleanupTempMounts(unix.MNT_DETACH)
	if err := errors.Join(append(warnings, err)...); err != nil {
		return err
	}
	// A crash before the mount, or after it had gone, leaves an empty folder.
	left, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range left {
		// Never with its contents: should one be mounted still, they are a
		// container's.
		err = errors.Join(err, unix.Rmdir(dir+"/"+entry.Name()))
	}
	return err
}
