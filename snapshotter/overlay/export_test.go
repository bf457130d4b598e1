package overlay

import (
	"context"
	"time"
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
