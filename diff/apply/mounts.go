package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/dirtree"
)

// ToMounts unpacks a layer, as [ToDir] does, into what a snapshotter says is
// to be mounted. The upper of an overlay, and what a bind mount shows, is written
// to as it is; only everything else is mounted, for as long as it takes. Of opts
// count Over, Root, MapIDs, Limit and Sync: the mounts say the rest.
func ToMounts(ctx context.Context, r io.Reader, mounts []mount.Mount, opts Options) (diffID digest.Digest, stats Stats, err error) {
	target, opts, err := applyTarget(mounts, opts)
	if err == nil {
		return ToDir(ctx, r, target, opts)
	}
	if !errors.Is(err, diff.ErrUnsupported) {
		return "", Stats{}, fmt.Errorf("apply layer: %w", err)
	}
	log.G(ctx).WithError(err).Debug("mounting a snapshot to unpack a layer")
	write := func(root string) (err error) {
		diffID, stats, err = ToDir(ctx, r, root, Options{Root: opts.Root, MapIDs: opts.MapIDs, Limit: opts.Limit})
		return err
	}
	if opts.Sync {
		err = WriteMounted(ctx, mounts, write)
	} else {
		err = mount.WithTempMount(ctx, mounts, write)
	}
	return diffID, stats, err
}

// WriteMounted mounts what a snapshotter says for as long as write takes, and then
// puts on disk what was written. An overlay is not asked to do that: it does not
// tell of data that the file system of its upper has lost. That file system is.
func WriteMounted(ctx context.Context, mounts []mount.Mount, write func(root string) error) error {
	dir := changes.WrittenDir(mounts)
	if dir == "" {
		return mount.WithTempMount(ctx, mounts, func(root string) error {
			return WriteSynced(root, func() error { return write(root) })
		})
	}
	return WriteSynced(dir, func() error { return mount.WithTempMount(ctx, mounts, write) })
}

// WriteSynced calls write, and then puts on disk what was written to the file
// system of a folder.
func WriteSynced(dir string, write func() error) error {
	disk, err := dirtree.OpenDisk(dir)
	if err != nil {
		return err
	}
	if err = write(); err == nil {
		err = disk.Sync()
	}
	return errors.Join(err, disk.Close())
}

// applyTarget finds the directory in which to unpack without mounting what is to
// be mounted, and how; ErrUnsupported if there is none.
func applyTarget(mounts []mount.Mount, opts Options) (string, Options, error) {
	o, err := changes.ParseOverlay(mounts, false)
	if err != nil {
		return "", opts, err
	}
	if len(o.Uppers) != 1 || slices.Contains(mounts[0].Options, "ro") {
		return "", opts, fmt.Errorf("%w: there is no upper to write to", diff.ErrUnsupported)
	}
	if mounts[0].Type != "overlay" {
		return o.Uppers[0], opts, nil
	}
	// What is in the upper already would be taken for the layer's own.
	if empty, err := isEmptyDir(o.Uppers[0]); err != nil || !empty && !opts.Over {
		return "", opts, errors.Join(err, fmt.Errorf("%w: there are changes in it", diff.ErrUnsupported))
	}
	opts.Overlay, opts.UserXattr, opts.Lowers = true, o.UserXattr, o.Lowers
	return o.Uppers[0], opts, nil
}

func isEmptyDir(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
