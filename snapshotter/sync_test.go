package snapshotter_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/fault/lossydisk"
	"github.com/baleen-project/baleen/snapshotter"
)

// TestDurablyHearsOfLostData: a disk loses what is sealed, and somebody else is told
// so before it is synced.
func TestDurablyHearsOfLostData(t *testing.T) {
	for _, files := range []int{1, 4, 30} { // one by one, and all at once
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			disk := lossydisk.New(t)
			from, upper := filepath.Join(disk.Dir, "from"), filepath.Join(disk.Dir, "upper")
			check(t, os.Mkdir(from, 0o755), os.Mkdir(upper, 0o755))
			body := make([]byte, 12<<20/files)
			_, _ = rand.Read(body)
			for n := range files {
				check(t, os.WriteFile(filepath.Join(from, fmt.Sprint(n)), body, 0o644))
			}
			c := &changes.Container{Overlay: changes.Overlay{Uppers: []string{from}, Lowers: []string{t.TempDir()}}}
			disk.Fill(t)
			defer disk.Free(t)
			err := snapshotter.Durably(t.Context(), upper, func() (snapshotter.SealStats, error) {
				stats, err := snapshotter.Seal(t.Context(), c, upper)
				if other := disk.SyncOther(); other == nil {
					t.Error("the disk has lost nothing")
				}
				return stats, err
			})
			if err == nil {
				t.Error("what is lost counts as being on disk")
			}
			t.Log(err)
		})
	}
}

// TestApplyMountedHearsOfLostData: a layer is unpacked through an overlay, because
// there are changes in it.
func TestApplyMountedHearsOfLostData(t *testing.T) {
	disk := lossydisk.New(t)
	options := []string{}
	for _, dir := range []string{"lowerdir", "upperdir", "workdir"} {
		check(t, os.Mkdir(filepath.Join(disk.Dir, dir), 0o755))
		options = append(options, dir+"="+filepath.Join(disk.Dir, dir))
	}
	check(t, os.WriteFile(filepath.Join(disk.Dir, "upperdir", "here"), nil, 0o644))
	body := make([]byte, 8<<20)
	_, _ = rand.Read(body)
	b := chainOf(t, []string{"file=" + string(body)})
	blob, err := b.fetch(context.Background(), b.layers[0].Blob)
	check(t, err)
	defer blob.Close()
	disk.Fill(t)
	others := disk.SyncOthers()
	_, _, err = apply.ToMounts(t.Context(), blob, []mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}, apply.Options{Sync: true})
	lost := others()
	disk.Free(t)
	if err == nil {
		t.Error("what is lost counts as being on disk")
	}
	if !lost {
		t.Error("the disk has lost nothing")
	}
	t.Log(err)
}
