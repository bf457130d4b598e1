package overlay

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// Steps are the names of all steps at which a hook is called.
var Steps = []string{
	string(stepMade), string(stepNamed), string(stepFolders), string(stepRecorded), string(stepMeasured),
	string(stepSynced), string(stepRemoved), string(stepTrashed), string(stepDeleting),
}

// WithHook has a function called at each step. Its error makes the next act
// fail, where it still can.
func WithHook(f func(at string) error) Option {
	return func(s *Snapshotter) {
		s.hook = func(at step) error { return f(string(at)) }
	}
}

// WithPatience sets how long New waits for another process.
func WithPatience(d time.Duration) Option {
	return func(s *Snapshotter) { s.patient = d }
}

// WithSyncfs replaces the system call that syncs a file system. Nothing else puts
// files on disk then.
func WithSyncfs(f func(fd int) error) Option {
	return WithSync(f, nil)
}

// WithSync replaces also how few files are synced one by one.
func WithSync(all func(fd int) error, each func(ctx context.Context, upper string, changes int64) error) Option {
	return func(s *Snapshotter) { s.disk.syncfs, s.disk.syncEach = all, each }
}

// FormatUsage and ParseUsage are the text of the mark that tells what a snapshot's
// folder takes.
func FormatUsage(inode uint64, usage snapshots.Usage) string { return formatUsage(inode, usage) }

// ParseUsage reads that text.
func ParseUsage(text string) (inode uint64, usage snapshots.Usage, ok bool) { return parseUsage(text) }

// MappedRoot is who owns a folder whose snapshot is made with labels.
func MappedRoot(labels map[string]string) (uid, gid int, mapped bool, err error) {
	o, err := mappedRoot([]snapshots.Opt{snapshots.WithLabels(labels)})
	if o == nil {
		return 0, 0, false, err
	}
	return o.uid, o.gid, true, err
}

// Lowers are the names by which snapshots are mounted beside other options of a
// size, and Upper is the folder of one of them.
func (s *Snapshotter) Lowers(ids []string, others int) ([]string, error) {
	return s.lowers(ids, others)
}

// Upper is the folder of a snapshot.
func (s *Snapshotter) Upper(id string) string { return s.upper(id) }

// ShortName and IDOfShortName are each other's reverse.
func ShortName(id string) string { return shortName(id) }

// IDOfShortName returns the id that has a short name.
func IDOfShortName(name string) (string, bool) { return idOfShortName(name) }
