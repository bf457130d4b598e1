package snap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/dirtree"
	"github.com/baleen-project/baleen/snapshotter"
)

// emptyMark is an attribute of a folder that was made to be exchanged for the
// container's. Where it is tells whether that has happened. Its value is that of
// [Intent.Mark], which no container knows: a privileged one can give its root an
// attribute of that name.
const emptyMark = "trusted.baleen.empty"

// Seal makes what the container wrote a committed snapshot. Its own
// active one is then to be replaced: the recovery of the history does.
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
// has happened. A container that goes on elsewhere is sealed even so, and nobody can go
// back to that.
//
// then is [Enter] if the container is to stand on what is sealed, and has no Kind if it
// goes on elsewhere. An intent of the kind [Seal] or [Leave] is written down for that.
func (s *Store) Seal(ctx context.Context, active snapshots.Info, name string, labels map[string]string, then Intent, durable bool) error {
	host, err := hostIDs(active)
	if err != nil {
		return err
	}
	labels = With(labels, host)
	commit := func() error {
		if err := s.Idle(ctx, active.Name); err != nil {
			return err
		}
		return s.Snapshots.Commit(s.Owned(ctx), name, active.Name, snapshots.WithLabels(With(labels, then.Labels())))
	}
	live, err := s.Upper(ctx, active)
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
	intent := then
	intent.Mark = rand.Text()
	if intent.Kind = Leave; then.Enters() {
		intent.Kind = Seal
	}
	filling := With(With(labels, intent.Labels()), map[string]string{label.Unmeasured: "1"})
	err = s.Make(ctx, name, active.Parent, filling, func(into []mount.Mount) error {
		o, err := changes.ParseOverlay(into, active.Parent != "")
		if err != nil {
			return err
		}
		sealed = o.Uppers[0]
		err = copyRoot(live, sealed, nil)
		if errors.Is(err, ErrUnfitRoot) && !then.Enters() {
			filling[label.UnfitRoot] = fmt.Sprintf("%.512v", err)
			err = nil
		}
		if err == nil {
			err = pathError("mark", sealed, unix.Setxattr(sealed, emptyMark, []byte(intent.Mark), 0))
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
		err = s.Idle(ctx, active.Name)
	}
	if err == nil {
		// Whoever has to be asked whether the container really is stopped is asked
		// before this.
		err = exchange(live, sealed, durable)
		if errors.Is(err, errors.ErrUnsupported) {
			if err = s.Remove(ctx, name); err == nil {
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

// Marked reports whether a folder is the empty one of an exchange with that mark.
func Marked(folder, mark string) (bool, error) {
	value := make([]byte, 64)
	n, err := unix.Getxattr(folder, emptyMark, value)
	switch {
	case err == nil:
		return string(value[:n]) == mark, nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ERANGE):
		return false, nil
	}
	return false, pathError("look for a mark of", folder, err)
}
