package containerstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// twoRevisions makes a container that stands on revision 2 with a=2, on revision 1 with
// a=1, and has written nothing since.
func twoRevisions(t *testing.T, w *world) *box {
	t.Helper()
	b := w.container(t, "c0ffee")
	for _, text := range []string{"1", "2"} {
		b.set(t, "a", text)
		_, err := b.Seal(b.ctx, record("snapshot"))
		must(t, err)
	}
	return b
}

// TestReturnThatCannotTell: what a container did to its root directory, or a record that is
// lost, makes Return an operation that does nothing, and no failure.
func TestReturnThatCannotTell(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *box){
		"more attributes than the kernel lists": func(t *testing.T, b *box) {
			mounts, err := b.w.snapshots.Mounts(b.w.ctx, b.Container)
			must(t, err)
			must(t, b.w.in(mounts, func(root string) error {
				for n := range 400 {
					if err := unix.Setxattr(root, fmt.Sprintf("user.%03d%s", n, strings.Repeat("x", 240)), nil, 0); err != nil {
						return err
					}
				}
				if _, err := unix.Listxattr(root, make([]byte, 1<<17)); err == nil {
					return fmt.Errorf("the kernel lists them all")
				}
				return nil
			}))
		},
		"no record": func(t *testing.T, b *box) {
			r, err := b.Revision(b.ctx, 2)
			must(t, err)
			i, err := b.w.snapshots.Stat(b.w.ctx, r.Snapshot)
			must(t, err)
			must(t, b.w.content.Delete(b.w.ctx, digest.Digest(i.Labels[label.Record])))
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachSnapshotter(t, func(t *testing.T, w *world) {
				b := twoRevisions(t, w)
				spoil(t, b)
				if _, ok, err := b.Return(b.ctx, 1, record("before")); ok || err != nil {
					t.Fatalf("the return is %v (%v)", ok, err)
				}
				if _, err := b.Switch(b.ctx, 1, record("before")); err != nil {
					t.Fatal(err)
				}
				mounts, err := b.w.snapshots.Mounts(b.w.ctx, b.Container)
				must(t, err)
				if got := b.w.files(t, mounts); got != "a=1" {
					t.Errorf("after the switch it has %s", got)
				}
			})
		})
	}
}

// TestReturnToWhereItStands: the number of a revision that was pruned is not used again.
func TestReturnToWhereItStands(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, w *world) {
		b := twoRevisions(t, w)
		_, err := b.Switch(b.ctx, 1, record("before")) // revision 3
		must(t, err)
		_, err = b.Prune(b.ctx, containerstore.Retention{})
		must(t, err)
		from, ok, err := b.Return(b.ctx, 1, record("before"))
		if err != nil || ok && (from.Number != 1 || !from.Current) {
			t.Errorf("the return is %+v, %v (%v)", from, ok, err)
		}
		if got := b.state(t); got != "1<0* a=1; r1 a=1" {
			t.Errorf("it is %s", got)
		}
		h, err := b.Open(b.ctx)
		must(t, err)
		if next := h.Next(); next != 4 {
			t.Errorf("the next revision is %d, and 3 there were", next)
		}
	})
}
