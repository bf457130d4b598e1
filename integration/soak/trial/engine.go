package trial

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// Baleen is the engine of this project.
type Baleen struct{}

// Seal implements Engine.
func (Baleen) Seal(ctx context.Context, live Live, upper string) (bool, error) {
	stats, err := snapshotter.Seal(ctx, &changes.Container{Overlay: live.Overlay}, upper)
	return stats.Root, err
}

// Pack implements Engine.
func (Baleen) Pack(ctx context.Context, live Live, upper string, root bool, layer string) error {
	return toFile(layer, func(f *os.File) error {
		_, err := tarlayer.Write(ctx, f, upper, tarlayer.Options{UserXattr: live.UserXattr, Root: root})
		return err
	})
}

// Unpack implements Engine.
func (Baleen) Unpack(ctx context.Context, live Live, layer, upper string) error {
	return fromFile(layer, func(f *os.File) error {
		_, _, err := apply.ToDir(ctx, f, upper, apply.Options{Overlay: true, UserXattr: live.UserXattr, Lowers: live.Lowers, Root: true})
		return err
	})
}

// Linking is Baleen that links all that it can of the sealed uppers.
type Linking struct{ Baleen }

// Seal implements Engine.
func (Linking) Seal(ctx context.Context, live Live, upper string) (bool, error) {
	stats, err := snapshotter.SealBelow(ctx, &changes.Container{Overlay: live.Overlay}, upper, 0, diff.Limit{})
	return stats.Root, err
}

// Walking is containerd's differ and applier, as stock Moby uses them: it
// compares merged trees, and seals by unpacking. It loses things, and so shows
// that the trial finds losses.
type Walking struct{}

// Seal implements Engine.
func (w Walking) Seal(ctx context.Context, live Live, upper string) (bool, error) {
	layer := upper + ".tar"
	if err := w.Pack(ctx, live, upper, false, layer); err != nil {
		return false, err
	}
	return false, errors.Join(w.Unpack(ctx, live, layer, upper), os.Remove(layer))
}

// Pack implements Engine.
func (Walking) Pack(ctx context.Context, live Live, _ string, _ bool, layer string) (err error) {
	below := live.Lowers[0]
	if len(live.Lowers) > 1 {
		below = layer + ".below"
		if err := os.Mkdir(below, 0o755); err != nil {
			return err
		}
		data := []string{"ro", "index=off", "lowerdir=" + strings.Join(live.Lowers, ":")}
		if live.UserXattr {
			data = append(data, userXattr)
		}
		if err := mountOverlay(below, data); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unix.Unmount(below, 0), os.Remove(below)) }()
	}
	return toFile(layer, func(f *os.File) error { return archive.WriteDiff(ctx, f, below, live.Merged) })
}

// Unpack implements Engine.
func (Walking) Unpack(ctx context.Context, live Live, layer, upper string) error {
	return fromFile(layer, func(f *os.File) error {
		_, err := archive.Apply(ctx, upper, f, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(live.Lowers))
		return err
	})
}

func toFile(path string, write func(*os.File) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func fromFile(path string, read func(*os.File) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return read(file)
}
