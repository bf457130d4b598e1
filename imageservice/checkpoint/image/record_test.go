package image_test

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
)

// TestRestoredName: whatever a checkpoint calls the image of its container, the name is
// valid, of the repository for such images, and of this image alone.
func TestRestoredName(t *testing.T) {
	dgst := digest.Digest("sha256:" + strings.Repeat("0123456789abcdef", 4))
	for name, want := range map[string]string{
		"app:1":                              "baleen-restored.invalid/app:1-0123456789ab",
		"app":                                "baleen-restored.invalid/app:0123456789ab",
		"example.com:5000/team/app:1":        "baleen-restored.invalid/team/app:1-0123456789ab",
		"app:1@" + dgst.String():             "baleen-restored.invalid/app:1-0123456789ab",
		"":                                   "baleen-restored.invalid/image:0123456789ab",
		dgst.String():                        "baleen-restored.invalid/sha256:" + dgst.Encoded() + "-0123456789ab",
		dgst.Encoded():                       "baleen-restored.invalid/image:0123456789ab",
		"../../nginx:latest":                 "baleen-restored.invalid/image:0123456789ab",
		"a\x1b[2J":                           "baleen-restored.invalid/image:0123456789ab",
		strings.Repeat("a/", 100) + "b:1":    "baleen-restored.invalid/image:1-0123456789ab",
		"app:" + strings.Repeat("t", 128):    "baleen-restored.invalid/app:0123456789ab",
		"baleen-restored/app:1-0123456789ab": "baleen-restored.invalid/baleen-restored/app:1-0123456789ab-0123456789ab",
	} {
		got := image.RestoredName(name, dgst)
		named, err := reference.ParseNormalizedNamed(got)
		if err != nil || named.String() != got || reference.FamiliarString(named) != want {
			t.Errorf("%q is called %s, want %s (%v)", name, got, want, err)
		}
	}
}
