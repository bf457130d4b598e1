package history_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/harness"
)

// neverMerged has layers that cannot be merged, as one of them has a file whose data
// are missing: it says so long before the kernel does not mount them any more.
func neverMerged(t *testing.T, k *kept) {
	k.MaxLayers = 4
	k.write(t, "half", "x")
	stack := func() int {
		stack, err := k.Stack(k.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(stack.Own)
	}
	mounts, err := k.Snapshots.Mounts(k.ctx, k.Container)
	if err != nil {
		t.Fatal(err)
	}
	o, err := changes.ParseOverlay(mounts, true)
	if err != nil {
		t.Fatal(err)
	}
	// The file is in whatever folder the container's is sealed as.
	half, err := unix.Open(filepath.Join(o.Uppers[0], "half"), unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(half)
	if err := unix.Fsetxattr(half, "trusted.overlay.metacopy", nil, 0); err != nil {
		t.Fatal(err)
	}
	seal := func() error {
		_, err := k.Seal(k.ctx, harness.NewRecord("snapshot"))
		return err
	}
	for err = seal(); err == nil && stack() < 20; err = seal() {
	}
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "half") || !strings.Contains(err.Error(), "cannot be merged") || stack() != 2*k.MaxLayers+1 {
		t.Errorf("on %d layers a snapshot gave %v", stack(), err)
	}
	if err := k.SealLayer(k.ctx, true); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("sealing a layer gave %v", err)
	}
	if err := unix.Fremovexattr(half, "trusted.overlay.metacopy"); err != nil {
		t.Fatal(err)
	}
	if err := seal(); err != nil || stack() > k.MaxLayers {
		t.Errorf("when the layers can be merged there are %d, %v", stack(), err)
	}
	k.must(t, map[string]string{"half": "x"})
}
