package baseimage_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// TestImageIsMadeOnce: who asks while an image is made waits for it, and nothing but the
// images is left in the folder.
func TestImageIsMadeOnce(t *testing.T) {
	bin := t.TempDir()
	image, err := baseimage.Find("hello-world:frozen")
	if err != nil {
		t.Fatal(err)
	}
	made := make([]os.FileInfo, 3)
	var all errgroup.Group
	for i := range made {
		all.Go(func() error {
			path, err := image.Tar(t.Context(), bin)
			if err == nil {
				made[i], err = os.Stat(path)
			}
			if err != nil {
				t.Error(err)
			}
			return nil
		})
	}
	_ = all.Wait() // each has told what failed
	if t.Failed() {
		return
	}
	if !os.SameFile(made[0], made[1]) || !os.SameFile(made[0], made[2]) {
		t.Error("the image was made more than once")
	}
	left, err := filepath.Glob(filepath.Join(bin, "images", "[^.]*"))
	if err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

func TestFindOfNoBaseImage(t *testing.T) {
	if _, err := baseimage.Find("busybox"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a name without its tag: %v", err)
	}
}
