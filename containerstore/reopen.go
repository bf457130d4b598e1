package containerstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/containerstore/lease"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// remakePatience is how long what is made of a lost folder is kept if the process
// ends before it has been put into its place.
const remakePatience = time.Hour

// Remake is what [History.Reopen] needs to make folders again.
type Remake struct {
	// Written reports whether anything may have been written to the container's
	// active snapshot since that was made. upper is its folder. It is not asked
	// without LabelNoted.
	Written func(active snapshots.Info, upper string) bool
	// GiveUp says to make the folder of the active snapshot again although something
	// was written to it, which is lost then. It has a meaning only for a container
	// that has revisions.
	GiveUp bool
	// FillInit fills a new init layer; nil if that cannot be done.
	FillInit func(ctx context.Context, mounts []mount.Mount, hasParent bool, ids IDs) error
}

// Reopen looks for the folders of a container that a daemon finds when it starts.
// A power cut takes those that were made just before: containerd has written down
// that there is the snapshot, and the file system not.
//
// A folder is made again if nothing is lost by that: that of the active snapshot if
// nothing was written to it, and that of the init layer, which has nothing of the
// container's own. If a switch was cut short the folder of the active snapshot is the
// empty one of it, or was never used: Recover, which comes next, goes by the intent. The error for others is errdefs.ErrDataLoss, and says which is
// missing. A caller may then give up what the container wrote, see [Remake].
func (h *History) Reopen(ctx context.Context, how Remake) error {
	active, err := h.Snapshots.Stat(ctx, h.Container)
	if errdefs.IsNotFound(err) { // in the middle of a switch
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", h.Container, err)
	}
	mounts, err := h.Snapshots.Mounts(ctx, h.Container)
	if err != nil {
		return fmt.Errorf("look up mounts of %s: %w", h.Container, err)
	}
	o, err := changes.ParseOverlay(mounts, active.Parent != "")
	if errors.Is(err, diff.ErrUnsupported) {
		return lookCopy(mounts)
	}
	if err != nil {
		return err
	}
	lost, err := absent(append(slices.Clone(o.Uppers), o.Lowers...))
	if err == nil && len(lost) > 0 {
		err = h.Idle(ctx)
	}
	if errdefs.IsFailedPrecondition(err) {
		// Then it is not lost, but not to be seen from here.
		log.G(ctx).WithError(err).WithField("container", h.Container).Warn("the folder of the container's snapshot is not where it should be")
		return nil
	}
	if err != nil || len(lost) == 0 {
		return errors.Join(err, remakeWork(mounts))
	}
	if len(lost) == len(o.Lowers)+1 && len(lost) > 1 {
		return fmt.Errorf("neither the folder of snapshot %s is there nor one that it stands on: is a disk not mounted?: %w", h.Container, errdefs.ErrDataLoss)
	}
	if below := slices.DeleteFunc(slices.Clone(lost), func(f string) bool { return f == o.Uppers[0] }); len(below) > 0 {
		if err := h.remakeBelow(ctx, o, below, how); err != nil {
			return err
		}
	}
	if !slices.Contains(lost, o.Uppers[0]) {
		return nil
	}
	return h.remakeActive(ctx, active, o, how)
}

// lookCopy looks for the folder of a snapshot that is no stack of folders, or whose
// upper does not tell what was written.
func lookCopy(mounts []mount.Mount) error {
	for _, m := range mounts {
		var folder string
		switch m.Type {
		case "bind", "rbind":
			folder = m.Source
		case "overlay":
			folder = optionOf(m, "upperdir=")
		}
		if folder == "" {
			continue
		}
		lost, err := absent([]string{folder})
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			return lostFolder(folder, "what the container wrote is lost")
		}
	}
	return nil
}

func optionOf(m mount.Mount, key string) string {
	for _, option := range m.Options {
		if value, ok := strings.CutPrefix(option, key); ok {
			return value
		}
	}
	return ""
}

func lostFolder(folder, why string) error {
	return fmt.Errorf("the folder %s is missing, as after a power cut: %s: %w", folder, why, errdefs.ErrDataLoss)
}

func absent(folders []string) (lost []string, _ error) {
	for _, folder := range folders {
		_, err := os.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, folder)
		} else if err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// remakeWork makes the folder again that an overlay needs to write, and that holds
// nothing while it is not mounted.
func remakeWork(mounts []mount.Mount) error {
	work := optionOf(mounts[0], "workdir=")
	if work == "" {
		return nil
	}
	if lost, err := absent([]string{work}); err != nil || len(lost) == 0 {
		return err
	}
	return os.Mkdir(work, 0o711)
}

// remakeBelow makes the init layer again, if that is all that is missing below.
func (h *History) remakeBelow(ctx context.Context, o changes.Overlay, lost []string, how Remake) error {
	stack, err := h.Stack(ctx)
	if err != nil {
		return err
	}
	for _, folder := range lost {
		switch at := slices.Index(o.Lowers, folder) + 1; { // of the stack, from the active one on
		case at < len(stack.Own):
			return lostFolder(folder, "it is of "+stack.Own[at]+", which the container stands on")
		case at > len(stack.Own) || stack.Init == "" || how.FillInit == nil:
			return lostFolder(folder, "it is of the container's image")
		}
		init, err := h.Snapshots.Stat(ctx, stack.Init)
		if err != nil {
			return fmt.Errorf("look up snapshot %s: %w", stack.Init, err)
		}
		err = h.remake(ctx, init, func(mounts []mount.Mount) error {
			if err := how.FillInit(ctx, mounts, init.Parent != "", stack.IDs); err != nil {
				return err
			}
			return replace(mounts, init.Parent != "", folder)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remakeActive makes the empty folder of the active snapshot again.
func (h *History) remakeActive(ctx context.Context, active snapshots.Info, o changes.Overlay, how Remake) error {
	upper := o.Uppers[0]
	unused, sealed, err := h.wasUnused(ctx, active)
	if err != nil || sealed {
		return err
	}
	const lost = "what the container wrote since its last revision is lost"
	moved := active.Labels[label.Container] != ""
	switch {
	case unused:
	case how.GiveUp && moved:
		log.G(ctx).WithFields(log.Fields{"container": h.Container, "folder": upper}).Warn(lost)
	case active.Labels[label.Noted] != "" && how.Written != nil && !how.Written(active, upper):
	case moved:
		return lostFolder(upper, lost+"; a rollback goes on without it")
	default:
		return lostFolder(upper, lost)
	}
	return h.remake(ctx, active, func(mounts []mount.Mount) error {
		if moved {
			if err := snap.KeepRoot(mounts); err != nil && !errors.Is(err, snap.ErrUnfitRoot) {
				return err
			}
		}
		if err := join(active, mounts); err != nil {
			return err
		}
		return replace(mounts, active.Parent != "", upper)
	})
}

// wasUnused asks the intents of a container whose active snapshot has lost its folder.
// unused says that the container had just been given it, and sealed that what the container
// wrote is in a sealed snapshot, by an exchange of folders: Recover goes on there.
func (h *History) wasUnused(ctx context.Context, active snapshots.Info) (unused, sealed bool, _ error) {
	t, err := h.load(ctx)
	if err != nil {
		return false, false, err
	}
	for _, i := range t.all {
		in, err := snap.IntentOf(i.Labels)
		if err != nil || !isCommitted(i) {
			continue // Recover says so
		}
		unused = unused || in.Enters() && i.Name == active.Parent
		if in.Exchanges() {
			empty, err := h.isEmptied(ctx, i, in)
			if err != nil {
				return false, false, err
			}
			sealed = sealed || !empty
		}
	}
	return unused, sealed, nil
}

// errRemade has containerd collect the rest of a snapshot whose folder was moved.
var errRemade = errors.New("the snapshot has lost its folder to another one")

// remake has a new snapshot made as one that has lost its folder, for the new
// folder to be put into its place.
func (h *History) remake(ctx context.Context, lost snapshots.Info, fill func([]mount.Mount) error) error {
	log.G(ctx).WithFields(log.Fields{"container": h.Container, "snapshot": lost.Name}).
		Warn("the folder of a snapshot was lost, as in a power cut; it is made again, as it was before the container wrote to it")
	under, end, err := lease.Begin(ctx, h.Leases, remakePatience, map[string]string{lease.LabelOperation: "reopen", lease.LabelObject: h.Container})
	if err != nil {
		return err
	}
	defer func() {
		if err := end(errRemade); err != nil {
			log.G(ctx).WithError(err).Warn("could not delete the lease of a folder that was made again; it ends within an hour")
		}
	}()
	key := h.Container + "-again-" + rand.Text() + snap.KeySuffix
	// With the label, what a crash leaves is found and removed.
	labels := map[string]string{label.Container: h.Container}
	for name, value := range lost.Labels {
		if strings.HasPrefix(name, label.OfSnapshotter) {
			labels[name] = value
		}
	}
	mounts, err := h.Snapshots.Prepare(under, key, lost.Parent, snapshots.WithLabels(labels))
	if err == nil {
		err = fill(mounts)
	}
	if err != nil {
		return fmt.Errorf("make the folder of snapshot %s again: %w", lost.Name, err)
	}
	return nil
}

// replace puts the folder of a new snapshot where that of another one was, with the
// folder that an overlay needs beside it.
func replace(mounts []mount.Mount, hasParent bool, lost string) error {
	o, err := changes.ParseOverlay(mounts, hasParent)
	if err != nil {
		return err
	}
	home := filepath.Dir(lost)
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if work := optionOf(mounts[0], "workdir="); work != "" {
		err := os.Rename(work, filepath.Join(home, filepath.Base(work)))
		if err != nil && !errors.Is(err, fs.ErrExist) { // the old one will do
			return err
		}
	}
	return os.Rename(o.Uppers[0], lost)
}
