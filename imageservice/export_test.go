package imageservice

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff/merge"
)

// CompletePull pulls from a registry, as [Service.PullComplete] does from containerd's
// client.
func CompletePull(from puller, store images.Store, complete func(context.Context, ocispec.Descriptor) error) func(context.Context, string, ...containerd.RemoteOpt) (containerd.Image, error) {
	return completePull{from, store, complete}.run
}

// RestoredName is the name of an image that a checkpoint has brought.
var RestoredName = restoredName

// MergeWarnings are the warnings of a plan of what goes, of owners, and of a link.
func MergeWarnings(left merge.Left, owner merge.Owner, from, to string) []string {
	var m Move
	m.left(left)
	m.owner(owner)
	m.followed(from, to)
	return m.Plan.Warnings
}
