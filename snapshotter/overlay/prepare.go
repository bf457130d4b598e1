package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// Names of folders that do not count: whoever finds one at start deletes it.
const (
	newPrefix   = "new-"
	trashPrefix = "rm-"
)

// Prepare makes an active snapshot on a committed one, or on nothing, and
// returns how to mount it. A chain of more layers than can be mounted is of the
// class FailedPrecondition.
func (s *Snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.create(ctx, snapshots.KindActive, key, parent, opts)
}

// View is Prepare for those who only read.
func (s *Snapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.create(ctx, snapshots.KindView, key, parent, opts)
}

func (s *Snapshotter) create(ctx context.Context, kind snapshots.Kind, key, parent string, opts []snapshots.Opt) ([]mount.Mount, error) {
	c := creation{s: s, kind: kind, key: key, parent: parent, opts: opts}
	if err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("prepare snapshot %q on %q: %w", key, parent, err)
	}
	return c.mounts, nil
}

// creation is a snapshot that is being made.
type creation struct {
	s           *Snapshotter
	kind        snapshots.Kind
	key, parent string
	opts        []snapshots.Opt

	owner  *owner // of the upper, if the labels name one
	temp   string // the folder before it has its name; "" if there is none
	named  string // and afterwards
	mounts []mount.Mount
}

func (c *creation) run(ctx context.Context) (err error) {
	if c.owner, err = mappedRoot(c.opts); err != nil {
		return err
	}
	// A view on something shows what is below and has nothing of its own.
	if c.kind == snapshots.KindActive || c.parent == "" {
		defer func() { err = errors.Join(err, c.discard(err)) }()
		if err := c.make(); err != nil {
			return err
		}
	}
	if err := c.s.at(stepMade); err != nil {
		return err
	}
	c.s.names.RLock()
	defer c.s.names.RUnlock()
	return c.s.write(ctx, &change{apply: c.apply, undo: c.undo, folder: c.temp != ""})
}

// discard removes what was made for a snapshot that did not come to be.
func (c *creation) discard(err error) error {
	if err == nil || c.temp == "" {
		return nil
	}
	return os.RemoveAll(c.temp)
}

// make makes the folder, under a name that does not count yet.
func (c *creation) make() (err error) {
	if c.temp, err = os.MkdirTemp(c.s.folders(), newPrefix); err != nil {
		return err
	}
	upper := filepath.Join(c.temp, "fs")
	if err := os.Mkdir(upper, 0o755); err != nil {
		return err
	}
	// It is the root of a container, whatever this process's umask.
	if err := os.Chmod(upper, 0o755); err != nil {
		return err
	}
	if c.kind != snapshots.KindActive {
		return nil
	}
	return os.Mkdir(filepath.Join(c.temp, "work"), 0o711)
}

func (c *creation) apply(tx context.Context) error {
	sn, err := storage.CreateSnapshot(tx, c.kind, c.key, c.parent, c.opts...)
	if err != nil {
		return err
	}
	_, info, _, err := storage.GetInfo(tx, c.key)
	if err != nil {
		return err
	}
	if c.mounts, err = c.s.mounts(sn, info); err != nil {
		return err
	}
	c.s.disk.saw(sn.ID)
	if c.temp == "" {
		return nil
	}
	return c.name(sn)
}

// name gives the folder its owner and the name that counts.
func (c *creation) name(sn storage.Snapshot) error {
	if err := c.own(sn.ParentIDs); err != nil {
		return err
	}
	named := c.s.folder(sn.ID)
	err := os.Rename(c.temp, named)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		// The id was given before, in a transaction that failed, and the folder
		// could not be taken back then.
		if err := c.s.trash.take(sn.ID); err != nil {
			return err
		}
		err = os.Rename(c.temp, named)
	}
	if err != nil {
		return err
	}
	c.named = named
	if err := c.s.at(stepNamed); err != nil {
		c.undo()
		return err
	}
	return nil
}

// own gives the upper to the root of the container: the mapped one, or else the
// owner of the root below.
func (c *creation) own(parents []string) error {
	o := c.owner
	if o == nil && len(parents) > 0 {
		var st unix.Stat_t
		if err := unix.Stat(c.s.upper(parents[0]), &st); err != nil {
			return fmt.Errorf("look up owner of %s: %w", c.s.upper(parents[0]), err)
		}
		o = &owner{int(st.Uid), int(st.Gid)}
	}
	if o == nil {
		return nil
	}
	return os.Lchown(filepath.Join(c.temp, "fs"), o.uid, o.gid)
}

func (c *creation) undo() {
	if c.named == "" {
		return
	}
	if err := os.Rename(c.named, c.temp); err != nil {
		log.L.WithError(err).Warn("could not take back a new snapshot's folder")
	}
	c.named = ""
}
