package image

import (
	"github.com/containerd/containerd/v2/core/images"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/imageservice/commit"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/imageservice/layers"
)

// Store makes checkpoints of containers, and prepares containers of checkpoints. All fields
// are needed. The methods may be called at the same time.
type Store struct {
	Files    *files.Containers
	Layers   *layers.Store
	Commits  *commit.Maker
	Blobs    *blobs.Store
	Images   images.Store
	Resolver commit.Resolver
	Owner    string // the daemon's id
	Limit    diff.Limit

	restored restoredImages
}
