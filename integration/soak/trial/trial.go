package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/integration/soak/fsops"
)

// Live is an overlay that is mounted while an engine seals it.
type Live struct {
	changes.Overlay        // Uppers[0] is being written
	Merged          string // where it is mounted
}

// Engine turns what the uppers of a live overlay hold into a layer.
type Engine interface {
	// Seal writes the uppers' changes against the lowers into upper, a new
	// directory with the metadata of the root below. It reports whether those
	// of the root itself are among the changes.
	Seal(ctx context.Context, live Live, upper string) (root bool, err error)
	// Pack writes the layer of a sealed upper to the file layer.
	Pack(ctx context.Context, live Live, upper string, root bool, layer string) error
	// Unpack applies the layer to upper, a directory as for Seal.
	Unpack(ctx context.Context, live Live, layer, upper string) error
}

// Run does what a plan says in dir, which must be empty or not exist, and checks
// the result. It leaves no mount, and no dir. It returns how many operations
// could be done.
func Run(ctx context.Context, p Plan, engine Engine, dir string) (steps int, err error) {
	t := &trial{plan: p, dir: dir, engine: engine}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.unmountAll(), os.RemoveAll(dir)) }()
	if err := t.prepare(); err != nil {
		return t.steps, fmt.Errorf("prepare: %w", err)
	}
	return t.steps, t.check(ctx)
}

type trial struct {
	plan   Plan
	dir    string
	engine Engine
	layers []string // topmost first
	mounts []string
	steps  int // operations that could be done
}

// prepare performs all operations and leaves the last upper mounted.
func (t *trial) prepare() error {
	for i, ops := range t.plan.layers() {
		layer := t.path(fmt.Sprint("layer", i))
		if err := t.newLayer(layer); err != nil {
			return err
		}
		merged := layer
		if i > 0 {
			var options []string
			if i >= len(t.plan.Image) || slices.Contains(t.plan.Options, userXattr) {
				options = t.plan.Options
			}
			var err error
			if merged, err = t.mount(layer, t.layers, options); err != nil {
				return err
			}
		}
		t.layers = append([]string{layer}, t.layers...)
		done, err := fsops.Perform(merged, ops)
		t.steps += done
		if err != nil {
			return err
		}
		if i > 0 && i < len(t.plan.layers())-1 {
			if err := t.unmount(merged); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trial) path(name string) string { return filepath.Join(t.dir, name) }

// newLayer makes a directory for an upper. As a snapshotter would, it gives it
// what the root below has.
func (t *trial) newLayer(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil || len(t.layers) == 0 {
		return err
	}
	return copyRoot(path, t.layers[0])
}

func copyRoot(path, below string) error {
	var st unix.Stat_t
	if err := unix.Stat(below, &st); err != nil {
		return err
	}
	return errors.Join(
		unix.Chown(path, int(st.Uid), int(st.Gid)),
		unix.Chmod(path, st.Mode&0o7777),
		unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Mtim, st.Mtim}, 0),
	)
}

// mount shows an upper on layers, topmost first, and returns where.
func (t *trial) mount(upper string, layers, options []string) (string, error) {
	work := upper + ".work"
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	return t.mountAt(upper+".merged", layers, append([]string{"upperdir=" + upper, "workdir=" + work}, options...))
}

func (t *trial) mountAt(merged string, layers, options []string) (string, error) {
	if err := os.MkdirAll(merged, 0o755); err != nil {
		return "", err
	}
	data := append([]string{"index=off", "lowerdir=" + strings.Join(layers, ":")}, options...)
	if err := mountOverlay(merged, data); err != nil {
		return "", err
	}
	t.mounts = append(t.mounts, merged)
	return merged, nil
}

// mountOverlay mounts layers whose paths may be too many for one call.
func mountOverlay(at string, options []string) error {
	if err := mount.All([]mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}, at); err != nil {
		return fmt.Errorf("mount overlay with %s: %w", strings.Join(options, ","), err)
	}
	return nil
}

func (t *trial) unmount(merged string) error {
	t.mounts = slices.DeleteFunc(t.mounts, func(m string) bool { return m == merged })
	if err := unix.Unmount(merged, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", merged, err)
	}
	return nil
}

func (t *trial) unmountAll() error {
	var errs []error
	for _, merged := range slices.Clone(t.mounts) {
		errs = append(errs, t.unmount(merged))
	}
	return errors.Join(errs...)
}

// live describes the last upper, which is mounted.
func (t *trial) live() Live {
	uppers := len(t.plan.Uppers)
	return Live{
		Overlay: changes.Overlay{
			Uppers: t.layers[:uppers], Lowers: t.layers[uppers:],
			UserXattr: slices.Contains(t.plan.Options, userXattr),
		},
		Merged: t.layers[0] + ".merged",
	}
}

// check has the engine make a layer of the live upper and compares.
func (t *trial) check(ctx context.Context) error {
	live := t.live()
	sealed, unpacked, layer := t.path("sealed"), t.path("unpacked"), t.path("layer.tar")
	for _, dir := range []string{sealed, unpacked} {
		if err := errors.Join(os.Mkdir(dir, 0o755), copyRoot(dir, live.Lowers[0])); err != nil {
			return err
		}
	}
	root, err := t.engine.Seal(ctx, live, sealed)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if err := t.engine.Pack(ctx, live, sealed, root, layer); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := t.engine.Unpack(ctx, live, layer, unpacked); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	// As long as it is mounted an overlay can show files that were copied up
	// under their old inode numbers. What counts is what the next mount shows.
	if err := t.unmount(live.Merged); err != nil {
		return err
	}
	merged, err := t.mount(live.Uppers[0], t.layers[1:], t.plan.Options)
	if err != nil {
		return err
	}
	for _, result := range []struct {
		name, upper string
		holes       bool
	}{{"the sealed upper", sealed, true}, {"the unpacked layer", unpacked, false}} {
		err := t.compare(ctx, merged, result.upper, compare.Options{Holes: result.holes})
		if err != nil {
			return fmt.Errorf("the live view (A) and the image with %s (B): %w", result.name, err)
		}
	}
	return t.checkApplier(ctx, live, merged, layer)
}

// compare mounts a layer on the image, as an image's view is mounted, and compares
// it with another tree. As an upper the layer could show the inode number of a
// file of the image, by what overlay keeps on one that was copied up. The root's
// time is that of the snapshot's making and tells nothing.
func (t *trial) compare(ctx context.Context, merged, layer string, options compare.Options) error {
	var mountOptions []string
	if t.live().UserXattr {
		mountOptions = []string{userXattr}
	}
	movedLink, err := t.movedLink(merged)
	if err != nil {
		return err
	}
	options.Accept = func(d compare.Difference) bool {
		return d.Path == "/" && d.Aspect == compare.ModTime || movedLink(d)
	}
	other, err := t.mountAt(layer+".merged", append([]string{layer}, t.live().Lowers...), mountOptions)
	if err != nil {
		return err
	}
	return errors.Join(compare.Trees(ctx, merged, other, options), t.unmount(other))
}

// movedLink accepts that a file of the image in a directory that was renamed is
// no hard link any more of its names elsewhere in the image: the directory is in
// the layer as a new one, and the other names have no reason to be there.
func (t *trial) movedLink(merged string) (func(compare.Difference) bool, error) {
	uppers := map[uint64]bool{} // inodes
	for _, upper := range t.live().Uppers {
		err := filepath.WalkDir(upper, func(path string, _ os.DirEntry, err error) error {
			var st unix.Stat_t
			err = errors.Join(err, unix.Lstat(path, &st))
			uppers[st.Ino] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	redirects := slices.Contains(t.plan.Options, "redirect_dir=on")
	return func(d compare.Difference) bool {
		var st unix.Stat_t
		return redirects && d.Aspect == compare.HardLinks && unix.Lstat(merged+d.Path, &st) == nil && !uppers[st.Ino]
	}, nil
}

// checkApplier unpacks the layer with containerd's applier. It knows no
// userxattr, and leaves the root out.
func (t *trial) checkApplier(ctx context.Context, live Live, merged, layer string) error {
	if live.UserXattr {
		return nil
	}
	upper := t.path("applied")
	if err := errors.Join(os.Mkdir(upper, 0o755), copyRoot(upper, live.Lowers[0])); err != nil {
		return err
	}
	file, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = archive.Apply(ctx, upper, file, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(live.Lowers))
	if err != nil {
		return fmt.Errorf("containerd's applier: %w", err)
	}
	if err := t.compare(ctx, merged, upper, compare.Options{IgnoreRoot: true}); err != nil {
		return fmt.Errorf("the live view (A) and what containerd's applier unpacked (B): %w", err)
	}
	return nil
}
