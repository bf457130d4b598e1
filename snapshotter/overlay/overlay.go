package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// CapabilityRemapIDs is the name under which a plugin announces that its mounts
// map ids where the labels of a snapshot ask for it.
const CapabilityRemapIDs = "remap-ids"

// lockTimeout is how long New waits for whoever has the root open, as a daemon
// that is about to end has.
const lockTimeout = 10 * time.Second

// Snapshotter keeps snapshots as folders that overlayfs stacks. It is safe for
// concurrent use. One root is open in one process at a time.
type Snapshotter struct {
	root    string
	options []string // of every overlay mount
	remaps  bool
	patient time.Duration // see lockTimeout
	hook    func(step) error

	meta   *storage.MetaStore
	writes group[*change]
	disk   disk
	trash  trash

	// names is held by those between whose acts a record and its folder do not
	// agree, and exclusively by who compares them.
	names sync.RWMutex
}

var (
	_ snapshots.Snapshotter = (*Snapshotter)(nil)
	_ snapshots.Cleaner     = (*Snapshotter)(nil)
)

// Option changes what New makes.
type Option func(*Snapshotter)

// WithMountOptions adds options to every overlay mount. Bind mounts, which
// snapshots of a single layer have, do not get them.
func WithMountOptions(options ...string) Option {
	return func(s *Snapshotter) { s.options = append(s.options, options...) }
}

// New opens the snapshots below root, which it makes if it is not there. It
// removes what a crash left. The file system must tell the types of directory
// entries; otherwise, or if root holds a character that mount options give a
// meaning, the error is of the class FailedPrecondition or InvalidArgument.
func New(root string, opts ...Option) (*Snapshotter, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open snapshotter: %w", err)
	}
	if err := checkPath(root); err != nil {
		return nil, err
	}
	s := &Snapshotter{root: root, patient: lockTimeout}
	s.writes.run = s.transactAll
	for _, o := range opts {
		o(s)
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshotter at %s: %w", root, err), s.Close())
	}
	return s, nil
}

// checkPath returns an error of the class InvalidArgument if no overlay can be
// mounted by a path.
func checkPath(root string) error {
	if strings.ContainsAny(root, `:,\`) || root == "/" {
		return fmt.Errorf("open snapshotter at %s: no overlay can be mounted by such a path: %w", root, errdefs.ErrInvalidArgument)
	}
	return nil
}

// CheckOwn returns an error if [New] would refuse a root for its name
// (InvalidArgument), or if there are snapshots in it that another snapshotter has
// made and this one has never opened (FailedPrecondition). It changes nothing. The
// root, which is an absolute path, need not be there.
//
// containerd's overlayfs has the same layout but for the folder of short names, and
// New opens what it has left. But of two that use one root, each takes the other's
// snapshots for garbage.
func CheckOwn(root string) error {
	if err := checkPath(root); err != nil {
		return err
	}
	_, err := os.Lstat(filepath.Join(root, recordsName))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err == nil {
		_, err = os.Lstat(filepath.Join(root, linksName))
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open snapshotter at %s: the folder belongs to another snapshotter, such as containerd's overlayfs: use a folder of its own: %w", root, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return fmt.Errorf("open snapshotter at %s: %w", root, err)
	}
	return nil
}

// Names in the root.
const (
	recordsName = "metadata.db"
	linksName   = "l"
)

func (s *Snapshotter) open() error {
	for _, dir := range []string{s.root, s.folders(), s.links()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := s.trash.open(s.folders(), s.at); err != nil {
		return err
	}
	types, err := fs.SupportsDType(s.root)
	if err != nil {
		return err
	}
	if !types {
		return fmt.Errorf("its file system tells no types of directory entries (XFS: ftype=1): %w", errdefs.ErrFailedPrecondition)
	}
	s.probe()
	if err := s.disk.open(s.folders()); err != nil {
		return err
	}
	return s.openRecords()
}

// openRecords opens the database, and compares it with the folders.
func (s *Snapshotter) openRecords() error {
	path := filepath.Join(s.root, recordsName)
	if err := s.checkRecords(path); err != nil {
		return err
	}
	meta, err := storage.NewMetaStore(path, func(o *bolt.Options) error {
		o.Timeout = s.patient
		return nil
	})
	if err != nil {
		return err
	}
	s.meta = meta
	ctx := context.Background()
	// Before this nobody else may be expected to have left the folders alone.
	err = s.read(ctx, func(context.Context) error { return nil })
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("another process has it open: %w: %w", err, errdefs.ErrUnavailable)
	}
	if err != nil {
		return err
	}
	if err := syncDir(s.root); err != nil {
		return err
	}
	return s.repair(ctx)
}

// checkRecords fails if there are folders and no records: they would all be
// taken for what a crash left.
func (s *Snapshotter) checkRecords(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names, err := readNames(s.folders())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, isID) {
		return fmt.Errorf("there are snapshots, but %s with their records is missing: %w", path, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// probe finds out what the kernel can, and which options mounts need here.
func (s *Snapshotter) probe() {
	// This loads the kernel's module, if it is one; else nothing would tell how
	// it is set.
	if fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC); err == nil {
		_ = unix.Close(fd)
	}
	// With an index, a write to one name of a file that has several shows under
	// the others too, and the upper does not tell: package diff refuses it.
	if _, err := os.Stat("/sys/module/overlay/parameters/index"); err == nil {
		s.defaultOption("index", "index=off")
	}
	need, err := overlayutils.NeedsUserXAttr(s.root)
	if err != nil {
		log.L.WithError(err).WithField("root", s.root).Warn("could not find out whether overlays need the option userxattr")
	}
	if need {
		s.defaultOption("userxattr", "userxattr")
	}
	s.remaps, err = remapsIDs(s.root)
	if err != nil {
		log.L.WithError(err).WithField("root", s.root).Info("overlay mounts cannot map ids here")
	}
}

func (s *Snapshotter) defaultOption(key, option string) {
	given := slices.ContainsFunc(s.options, func(o string) bool {
		return o == key || strings.HasPrefix(o, key+"=")
	})
	if !given {
		s.options = append(s.options, option)
	}
}

// Capabilities returns what a plugin with this snapshotter is to announce:
// [CapabilityRemapIDs], or nothing where the kernel or the file system cannot
// map ids.
func (s *Snapshotter) Capabilities() []string {
	if s.remaps {
		return []string{CapabilityRemapIDs}
	}
	return nil
}

// Close ends the use of the root. It waits for the deletion of the folders that
// workers are at, and leaves the others to the next New. It may be called twice.
func (s *Snapshotter) Close() error {
	s.trash.close()
	var err error
	if s.meta != nil {
		err = s.meta.Close()
	}
	return errors.Join(err, s.disk.close())
}

func (s *Snapshotter) folders() string         { return filepath.Join(s.root, "snapshots") }
func (s *Snapshotter) links() string           { return filepath.Join(s.root, linksName) }
func (s *Snapshotter) folder(id string) string { return filepath.Join(s.folders(), id) }
func (s *Snapshotter) upper(id string) string  { return filepath.Join(s.folder(id), "fs") }
func (s *Snapshotter) work(id string) string   { return filepath.Join(s.folder(id), "work") }
