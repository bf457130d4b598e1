package containerstore_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReturnWithUnlistableRoot: a container that has given its root directory more
// attributes than the kernel lists has written something. It can leave the revision that
// it stands on, by a switch.
func TestReturnWithUnlistableRoot(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		b := w.container(t, "c0ffee")
		defer b.gone(t)
		b.set(t, "a", "1")
		_, err := b.Seal(b.ctx, record("snapshot"))
		must(t, err)
		b.set(t, "a", "2")
		_, err = b.Switch(b.ctx, 1, record("before"))
		must(t, err)
		mounts, err := w.snapshots.Mounts(w.ctx, b.Container)
		must(t, err)
		must(t, w.in(mounts, func(root string) error {
			for i := range 400 {
				if err := unix.Setxattr(root, fmt.Sprintf("user.%s%d", strings.Repeat("x", 200), i), nil, 0); err != nil {
					return err
				}
			}
			return nil
		}))
		if _, ok, err := b.Return(b.ctx, 2, record("before")); ok || err != nil {
			t.Fatalf("a return gave %v, %v", ok, err)
		}
		_, err = b.Switch(b.ctx, 2, record("before"))
		must(t, err)
		if got, want := b.state(t), "1<0 2<1* 3<1 a=2; r1 a=1; r2 a=2; r3 a=1"; got != want {
			t.Errorf("it is\n%s\nwant\n%s", got, want)
		}
	})
}
