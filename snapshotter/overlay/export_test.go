package overlay

import "time"

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

// WithSyncfs replaces the system call that puts files on disk.
func WithSyncfs(f func(fd int) error) Option {
	return func(s *Snapshotter) { s.disk.syncfs = f }
}
