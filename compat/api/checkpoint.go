package api

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// CheckpointRequest asks to keep a container's whole state as an image.
type CheckpointRequest struct {
	Ref string `json:",omitempty"` // the name of the image; "" for none
	// NoProcess leaves out the processes of a container that runs.
	NoProcess bool `json:",omitempty"`
	// LeaveRunning has the processes go on that were kept. Without it they end. With
	// NoProcess they go on anyway.
	LeaveRunning bool `json:",omitempty"`
}

// Checkpoint is an image that a container can be made of again.
type Checkpoint struct {
	ID        digest.Digest // of the image
	Ref       string        `json:",omitempty"` // its name
	Container string        // the container's id
	Name      string        // and name
	Kind      string        // "files", or "processes" if those are in it, too
	Image     string        // that the container was created from
	// Size is that of all parts in the content store, New that of those which it
	// did not have before, and Layer what the container changed, compressed; in
	// bytes.
	Size, New, Layer int64
	// Paused is how long the container stood still, if it ran and goes on.
	Paused   time.Duration `json:",omitempty"`
	Warnings []string      `json:",omitempty"`
}

// CheckpointAbility tells whether the daemon can keep processes, and restore them.
type CheckpointAbility struct {
	Processes bool
	Version   string `json:",omitempty"` // of CRIU, if there is one
	Reason    string `json:",omitempty"` // why it cannot
}

// RestoreRequest asks to make a container of a checkpoint.
type RestoreRequest struct {
	Ref  string // a name or id of an image that the daemon has
	Name string `json:",omitempty"` // of the new container; "" for the one that it had
	// CreateOnly does not start the container.
	CreateOnly bool `json:",omitempty"`
	// Trust allows a checkpoint that the daemon has not made itself to ask for
	// what reaches out of a container: privileges, folders of the host, volumes
	// and networks of others. Without it that is answered by 403.
	Trust bool `json:",omitempty"`
}

// Restored is a container that was made of a checkpoint.
type Restored struct {
	ID       string
	Name     string
	Kind     string   // as of the checkpoint
	Started  bool     `json:",omitempty"`
	Warnings []string `json:",omitempty"`
}
