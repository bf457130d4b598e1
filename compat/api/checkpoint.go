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
	// Reasons are what speaks against keeping the processes of one container, if one was
	// asked for, besides what is missing of CRIU.
	Reasons []string `json:",omitempty"`
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

	// The following replace what the checkpoint says, so that the new container can live
	// beside the one that was checkpointed. They need no trust.

	// Publish replaces all published ports. Unpublished publishes none.
	Publish     []PublishedPort `json:",omitempty"`
	Unpublished bool            `json:",omitempty"`
	// Network replaces all networks; it is what docker run takes as --network. IP is the
	// address on it, or on the only network of the checkpoint. Each also replaces the MAC
	// address.
	Network string `json:",omitempty"`
	IP      string `json:",omitempty"`
	// Hostname cannot be given for processes, which have theirs.
	Hostname string `json:",omitempty"`
	// Volumes are SOURCE:PATH[:OPTIONS], as docker run takes them. Each replaces what the
	// checkpoint has at its path, or is mounted as well. For processes it can only replace
	// another volume.
	Volumes []string `json:",omitempty"`
}

// PublishedPort is a port of a container that the host publishes.
type PublishedPort struct {
	Port     string // of the container: "80/tcp"
	HostIP   string `json:",omitempty"` // "" for all addresses
	HostPort string `json:",omitempty"` // a number or a range; "" for a free one
}

// Restored is a container that was made of a checkpoint.
type Restored struct {
	ID       string
	Name     string
	Kind     string   // as of the checkpoint
	Started  bool     `json:",omitempty"`
	Warnings []string `json:",omitempty"`
}
