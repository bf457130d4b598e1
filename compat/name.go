package compat

import (
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// CheckName returns ErrInvalidArgument for the name of an image that can be taken
// for an id: "sha256:abc" in the short form of Docker's own registry. The text has
// the words of Moby's graph drivers, which refuse such a name as well.
func CheckName(ref reference.Named) error {
	if reference.FamiliarName(ref) != string(digest.Canonical) {
		return nil
	}
	return fmt.Errorf("name an image %s: refusing to create an ambiguous tag using digest algorithm as name: %w",
		reference.FamiliarString(ref), cerrdefs.ErrInvalidArgument)
}
