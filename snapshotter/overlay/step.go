package overlay

// step is a point between two acts that change the disk. Tests kill the process
// there, or let the second act fail.
type step string

const (
	stepMade     step = "made"     // a new folder, under a name that does not count
	stepNamed    step = "named"    // it has its name, its record is not on disk
	stepFolders  step = "folders"  // so have all of the transaction, on disk
	stepRecorded step = "recorded" // the transaction is on disk
	stepMeasured step = "measured" // what is to be committed, not synced
	stepSynced   step = "synced"   // it is, without a record that says so
	stepRemoved  step = "removed"  // the record is gone, the folder is not
	stepTrashed  step = "trashed"  // the folder has no name that counts
	stepDeleting step = "deleting" // a worker is about to delete it
)

func (s *Snapshotter) at(p step) error {
	if s.hook == nil {
		return nil
	}
	return s.hook(p)
}
