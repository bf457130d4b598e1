package api

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Revision is a kept state of a container: its files, and the image and
// configuration that it had.
type Revision struct {
	Number  int       // from 1; never used again, also after pruning
	Created time.Time // when it was sealed
	Message string    `json:",omitempty"`
	Kind    Kind
	Image   string        // the name by which the image was asked for
	ImageID digest.Digest // of the image
	// Previous is the revision that it was made from, 0 for none: that its
	// files stand on, or that was upgraded.
	Previous int `json:",omitempty"`
	// Size is what the revision holds itself, in bytes on disk; -1 if the
	// daemon could not measure it.
	Size int64
	// Current says that the container stands on this revision: it has what the
	// container wrote since.
	Current bool `json:",omitempty"`
}

// Kind says why a revision was made.
type Kind string

// The kinds of revisions.
const (
	KindSnapshot Kind = "snapshot" // it was asked for
	KindUpgrade  Kind = "upgrade"  // a container's files merged into a new image
	KindBefore   Kind = "before"   // what was there before an upgrade or rollback
	KindCarry    Kind = "carry"    // a container's changes merged into an earlier revision
)

// SnapshotRequest asks to keep a container's present state.
type SnapshotRequest struct {
	Message string `json:",omitempty"`
}

// UpgradeRequest asks to move a container to another image.
type UpgradeRequest struct {
	// Image is a name or id of an image that the daemon has; "" for the name that the
	// container was created from, or was last upgraded to, and the image that has it now.
	Image   string `json:",omitempty"`
	Message string `json:",omitempty"`
	// Policy decides a file that both the container and the new image have
	// changed: "keep" is the container's, which "" means too, "image" the new
	// image's, "fail" gives the upgrade up. Paths decide for patterns, in the
	// syntax of path.Match on whole paths such as /etc/nginx/*, the first that
	// matches wins; a pattern that ends in /** holds for all below.
	Policy string       `json:",omitempty"`
	Paths  []PathPolicy `json:",omitempty"`
	// Keep are absolute paths of files or directories of the container that stay whole:
	// they are as the container has them, whatever the new image has there.
	Keep []string `json:",omitempty"`
	// DryRun only plans.
	DryRun bool `json:",omitempty"`
	// NoStart leaves the container stopped, if it ran.
	NoStart bool `json:",omitempty"`
	// HealthTimeout is how long a container that runs again may take to become
	// healthy, or to go on running if it has no health check; in seconds, 0
	// for the daemon's default.
	HealthTimeout int `json:",omitempty"`
	// RestartDependents restarts the containers that run and share namespaces of this one
	// (docker run --network container:X, --pid, --ipc) after it was started again.
	RestartDependents bool `json:",omitempty"`
}

// PathPolicy is a policy for the paths that match a pattern.
type PathPolicy struct{ Pattern, Policy string }

// RollbackRequest asks to go back, or forward, to a revision.
type RollbackRequest struct {
	// Revision is its number; 0 is the one before the last upgrade, or else
	// the last one that was made of the present state, or that it stands on.
	Revision int    `json:",omitempty"`
	Message  string `json:",omitempty"`
	// Carry brings what the container changed since its upgrade, or else since
	// its last rollback, along.
	Carry             bool         `json:",omitempty"`
	Policy            string       `json:",omitempty"` // as in UpgradeRequest
	Paths             []PathPolicy `json:",omitempty"`
	Keep              []string     `json:",omitempty"` // as in UpgradeRequest; with Carry only
	DryRun            bool         `json:",omitempty"`
	NoStart           bool         `json:",omitempty"`
	RestartDependents bool         `json:",omitempty"` // as in UpgradeRequest
}

// PruneRequest asks to remove revisions that the container does not stand on.
// Without a limit all such are removed.
type PruneRequest struct {
	Keep      int           `json:",omitempty"` // the newest that many stay
	OlderThan time.Duration `json:",omitempty"` // only those older than that go
}

// PruneReport says what was removed.
type PruneReport struct {
	Removed        []int
	SpaceReclaimed int64 // bytes
	// SpaceHeld are the bytes of removed revisions that are still on disk, since the
	// container or a revision that stays has files of them.
	SpaceHeld int64 `json:",omitempty"`
}

// Progress is one message of a stream.
type Progress struct {
	// Status tells a person what goes on: "stopping the container".
	Status string `json:",omitempty"`
	// ProgressDetail is how far the last Status has got.
	ProgressDetail *ProgressDetail `json:"progressDetail,omitempty"`

	Plan   *Plan   `json:",omitempty"`
	Result *Result `json:",omitempty"`
	Error  string  `json:",omitempty"`

	// Warnings are those of an operation that fails, and come before its Error. Those of
	// one that succeeds are in its result.
	Warnings []string `json:",omitempty"`

	Checkpoint *Checkpoint `json:",omitempty"` // the end of a checkpoint
	Restored   *Restored   `json:",omitempty"` // the end of a restore
}

// ProgressDetail is how much of a step is done, in bytes; Total is 0 if it is not
// known. It has the form that it has in the messages of `docker pull`.
type ProgressDetail struct {
	Current int64 `json:"current"`
	Total   int64 `json:"total,omitempty"`
}

// Last reports whether no message follows.
func (p Progress) Last() bool {
	return p.Error != "" || p.Result != nil || p.Checkpoint != nil || p.Restored != nil
}

// Plan is what an upgrade or rollback does to the container.
type Plan struct {
	From, To Image
	// Counts of paths: those of the container that stay, that the new image
	// has as well, that the new image takes over.
	Kept, There, FromImage int64
	Conflicts              []Conflict // the first ones
	ConflictCount          int64
	FailCount              int64 `json:",omitempty"` // of those that make it fail
	Config                 []ConfigChange
	// Whole are the paths that stay whole: those asked for, and directories that the new
	// image has not and in which the container changed something. The first ones.
	Whole      []Whole `json:",omitempty"`
	WholeCount int64   `json:",omitempty"`
	// Dependents share namespaces of the container.
	Dependents []Dependent `json:",omitempty"`
	// Warnings tell in sentences what to look at before the move. The first ones.
	Warnings []string `json:",omitempty"`
}

// Dependent is a container that shares namespaces of one that is moved, or of another
// dependent. It has the old ones until it is restarted.
type Dependent struct {
	ID      string
	Name    string
	Shares  []string // "network", "pid", "ipc"
	Running bool
}

// Whole is a file or directory that stays as the container has it.
type Whole struct {
	Path      string // absolute
	Files     int64  // that it has, directories left out
	Untouched int64  // of them, as the old image has them
	Bytes     int64  // apparent size of the files
}

// Image names one.
type Image struct {
	Name string
	ID   digest.Digest
}

// Conflict is a path that both the container and the new image changed.
type Conflict struct {
	Path      string // absolute
	Container string // what the container did: "modified", "replaced", "deleted", "added"
	Image     string // what the new image did
	Class     string `json:",omitempty"` // "package database", "linker cache", "accounts"
	Winner    string // "container", "image", or "" if the policy is to fail
	// Lines are of a list of accounts the names and ids in conflict, with the numbers of
	// their lines. The first ones.
	Lines []string `json:",omitempty"`
}

// ConfigChange is a setting that differs after an upgrade or rollback.
type ConfigChange struct {
	Field    string // "Env PATH", "Cmd"
	Old, New string
	// Kept says that the container keeps Old, as the user had set it at
	// create; New is what the image would have it be.
	Kept bool `json:",omitempty"`
}

// Result is the end of an upgrade or rollback.
type Result struct {
	Revision Revision // which the container stands on now
	Before   Revision // the state that it left
	// Started says that the container was started and, as far as it was watched, runs.
	Started bool `json:",omitempty"`
	// Unseen says why nobody saw whether the container comes up on Revision, on which it
	// is: somebody stopped it meanwhile, or removes it.
	Unseen string `json:",omitempty"`
	// RolledBack says that the container did not come up, why, and that it is
	// back in the state Before.
	RolledBack string `json:",omitempty"`
	// Restarted are the names of the dependents that were restarted.
	Restarted []string `json:",omitempty"`
	Warnings  []string `json:",omitempty"`
}
