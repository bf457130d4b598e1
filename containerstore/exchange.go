package containerstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/snapshotter"
)

// emptyMark is an attribute of a folder that was made to be exchanged for the
// container's. Where it is tells whether that has happened. Its value is that of
// labelFilling, which no container knows: a privileged one can give its root an
// attribute of that name.
const emptyMark = "trusted.baleen.empty"

// sealActive makes what the container wrote a committed snapshot. Its own
// active one is then to be replaced: recover does.
//
// Commit would do it, but not safely. containerd notes it in two databases, the
// snapshotter's and its own, and if it ends in between, the next collection of
// garbage takes the container's files for garbage. So an empty snapshot is
// committed, and then its folder and the container's are exchanged in one step.
// Only where there are no such folders Commit has to do. If it is to be durable,
// both the files and the exchange are on disk in the end.
//
// The exchange is the point of no return, and nothing that a container can put into
// its files may fail after it. So the empty folder gets what the root directory has
// of the container's files, as the next active snapshot will: if that fails, nothing
// has happened. A container that goes on elsewhere (labels have no labelNext) is
// sealed even so, and nobody can go back to that.
func (h *History) sealActive(ctx context.Context, active snapshots.Info, name string, labels map[string]string, durable bool) error {
	host, err := hostIDs(active)
	if err != nil {
		return err
	}
	labels = with(labels, host)
	commit := func() error {
		if err := h.idle(ctx, active.Name); err != nil {
			return err
		}
		return h.Snapshots.Commit(h.owned(ctx), name, active.Name, snapshots.WithLabels(labels))
	}
	live, err := h.upper(ctx, active)
	if errors.Is(err, diff.ErrUnsupported) {
		return commit()
	}
	if err != nil {
		return err
	}
	disk, err := dirtree.OpenDisk(live)
	if err != nil {
		return err
	}
	defer disk.Close()
	var sealed string
	mark := rand.Text()
	filling := with(labels, map[string]string{labelFilling: mark, labelUnmeasured: "1"})
	err = h.make(ctx, name, active.Parent, filling, func(into []mount.Mount) error {
		o, err := changes.ParseOverlay(into, active.Parent != "")
		if err != nil {
			return err
		}
		sealed = o.Uppers[0]
		err = copyRoot(live, sealed, nil)
		if errors.Is(err, errUnfitRoot) && labels[labelNext] == "" {
			filling[labelUnfitRoot] = fmt.Sprintf("%.512v", err)
			err = nil
		}
		if err == nil {
			err = pathError("mark", sealed, unix.Setxattr(sealed, emptyMark, []byte(mark), 0))
		}
		if err == nil && durable {
			// The container's files are on disk, unless somebody else has its root
			// mounted too; this folder is not. If a power cut took it after
			// containerd has written down the commit, no start could tell that the
			// folders have not been exchanged.
			err = disk.Sync()
		}
		return err
	})
	if err == nil { // not before: the container may have been started meanwhile
		err = h.idle(ctx, active.Name)
	}
	if err == nil {
		// Whoever has to be asked whether the container really is stopped is asked
		// before this.
		err = exchange(live, sealed, durable)
		if errors.Is(err, errors.ErrUnsupported) {
			if err = h.remove(ctx, name); err == nil {
				return commit()
			}
		}
	}
	return err
}

// exchange gives each of two folders the other's name, if durable on disk too.
// That waits until all is on disk that was written to them, if nobody has synced
// it before.
func exchange(a, b string, durable bool) (err error) {
	var above [2]*os.File // opened before, to hear of all that is lost
	for i, path := range []string{a, b} {
		if above[i], err = os.Open(filepath.Dir(path)); err != nil {
			return err
		}
		defer above[i].Close()
	}
	if err := snapshotter.Exchange(a, b); err != nil || !durable {
		return err
	}
	return errors.Join(above[0].Sync(), above[1].Sync())
}

// upper is the folder of an active snapshot. ErrUnsupported says that it has
// none that can be exchanged.
func (h *History) upper(ctx context.Context, i snapshots.Info) (string, error) {
	o, err := h.overlay(ctx, i)
	if err != nil {
		return "", err
	}
	return o.Uppers[0], nil
}

// overlay is where the files of an active snapshot lie, with the same error.
func (h *History) overlay(ctx context.Context, i snapshots.Info) (changes.Overlay, error) {
	mounts, err := h.Snapshots.Mounts(ctx, i.Name)
	if err != nil {
		return changes.Overlay{}, fmt.Errorf("look up mounts of %s: %w", i.Name, err)
	}
	if i.Parent != "" && len(mounts) == 1 && mounts[0].Type != "overlay" {
		return changes.Overlay{}, fmt.Errorf("%w: a mount of type %s", diff.ErrUnsupported, mounts[0].Type)
	}
	return changes.ParseOverlay(mounts, i.Parent != "")
}

// folder is that of a committed snapshot.
func (h *History) folder(ctx context.Context, i snapshots.Info) (string, error) {
	layers, err := h.Layers(ctx, i.Name)
	if err != nil {
		return "", err
	}
	return layers.Lowers[0], nil
}

// marked reports whether a folder has the mark of the one that was made to be
// exchanged for sealed.
func marked(folder string, sealed snapshots.Info) (bool, error) {
	value := make([]byte, 64)
	n, err := unix.Getxattr(folder, emptyMark, value)
	switch {
	case err == nil:
		return string(value[:n]) == sealed.Labels[labelFilling], nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ERANGE):
		return false, nil
	}
	return false, pathError("look for a mark of", folder, err)
}

// exchanged ends an exchange that may have been cut: it takes the container's
// active snapshot away if that has nothing any more, and otherwise the one that
// was to be sealed, if that has nothing.
func (h *History) exchanged(ctx context.Context, t *tree, i snapshots.Info) error {
	if t.active == nil {
		return nil
	}
	live, err := h.upper(ctx, *t.active)
	if err != nil {
		return err
	}
	done, err := marked(live, i)
	if err != nil {
		return err
	}
	if done {
		if err := h.Idle(ctx); err != nil {
			return err
		}
		t.active = nil
		return h.remove(ctx, h.Container)
	}
	folder, err := h.folder(ctx, i)
	if err != nil {
		return err
	}
	if empty, err := marked(folder, i); err != nil || !empty {
		return err
	}
	delete(t.all, i.Name)
	return h.remove(ctx, i.Name)
}

// Usage returns what a snapshot of the container takes on disk, in bytes. What
// an exchanged folder takes the snapshotter has not seen: it is measured once.
func (h *History) Usage(ctx context.Context, name string) (int64, error) {
	i, err := h.Snapshots.Stat(ctx, name)
	if err != nil {
		return 0, err
	}
	return h.usage(ctx, i)
}

// measured is usage for who can do without: -1 if it cannot be measured.
func (h *History) measured(ctx context.Context, i snapshots.Info) int64 {
	size, err := h.usage(ctx, i)
	if err != nil {
		log.G(ctx).WithError(err).WithField("snapshot", i.Name).Warn("could not measure a revision")
		return -1
	}
	return size
}

func (h *History) usage(ctx context.Context, i snapshots.Info) (int64, error) {
	if size, err := strconv.ParseInt(i.Labels[labelSize], 10, 64); err == nil {
		return size, nil
	}
	if i.Kind == snapshots.KindActive {
		// Of what a container writes not every snapshotter measures all: that of
		// containerd fails on paths that are too long.
		upper, err := h.upper(ctx, i)
		if err == nil {
			return measure(ctx, upper)
		}
		if !errors.Is(err, diff.ErrUnsupported) {
			return 0, err
		}
	}
	if i.Labels[labelUnmeasured] == "" {
		usage, err := h.Snapshots.Usage(ctx, i.Name)
		return usage.Size, err
	}
	folder, err := h.folder(ctx, i)
	if err != nil {
		return 0, err
	}
	size, err := measure(ctx, folder)
	if err != nil {
		return 0, err
	}
	return size, h.label(ctx, i.Name, map[string]string{labelSize: strconv.FormatInt(size, 10)})
}

func measure(ctx context.Context, folder string) (int64, error) {
	usage, err := dirtree.Measure(ctx, folder)
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	return usage.Bytes, err
}
