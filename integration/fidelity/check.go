package fidelity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compare"
)

func (l *Lab) checkDiff(ctx context.Context, id string, c Case) error {
	if c.Diff == nil {
		return nil
	}
	out, err := l.Call(ctx, "", "diff", id)
	if err != nil {
		return err
	}
	var errs []error
	got := strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
	for _, line := range got {
		if !slices.Contains(c.Diff, line) {
			errs = append(errs, fmt.Errorf("docker diff says %q", line))
		}
	}
	for _, line := range c.Diff {
		if !slices.Contains(got, line) {
			errs = append(errs, fmt.Errorf("docker diff does not say %q", line))
		}
	}
	if errs == nil && len(got) != len(c.Diff) {
		return fmt.Errorf("docker diff says something twice: %q", got)
	}
	return errors.Join(errs...)
}

// Check compares a container with the image that was committed from it. parent
// is the id of the image that the container is of, or "" for [BaseImage]. Of the
// case counts what it expects. Without a container the image is compared with
// itself only: its snapshot with what its layers unpack to.
func (l *Lab) Check(ctx context.Context, container, name, parent string, c Case) (err error) {
	ctx, end, err := l.lease(l.moby(ctx), rand.Text())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	img, err := l.readImage(ctx, digest.Digest(name))
	if err != nil {
		return err
	}
	check := &check{Lab: l, c: c, img: img}
	if err := check.open(ctx, container, parent); err != nil {
		return err
	}
	if layers, diffIDs := len(img.manifest.Layers), len(img.config.RootFS.DiffIDs); layers != diffIDs {
		return fmt.Errorf("the image has %d layers and %d diffIDs", layers, diffIDs)
	}
	fresh := len(img.manifest.Layers) - check.below
	switch {
	case fresh < 0 || fresh > 1:
		return fmt.Errorf("the image has %d layers more than its base", fresh)
	case c.Empty && fresh > 0:
		err = errors.New("there is a layer without a change")
	}
	return errors.Join(err, check.snapshot(ctx), check.plain(ctx), check.overlay(ctx))
}

// check is of one image and its container.
type check struct {
	*Lab
	c         Case
	img       image
	below     int    // layers of the container's own image
	container string // its root, or "" if it does not count
	upper     string // where its changes are
}

// open finds out what the image is compared with.
func (k *check) open(ctx context.Context, container, parent string) (err error) {
	k.below = k.baseSize
	if parent != "" {
		img, err := k.readImage(ctx, digest.Digest(parent))
		if err != nil {
			return err
		}
		k.below = len(img.manifest.Layers)
	}
	if container != "" {
		k.container = k.rootfs(container)
		k.upper, err = k.upperOf(ctx, container)
	}
	return err
}

// snapshot looks at the snapshot of the image's layers that the commit made.
func (k *check) snapshot(ctx context.Context) error {
	return k.withView(ctx, k.img.config.RootFS.DiffIDs, func(root string) error {
		err := k.compareContainer(ctx, "the image's snapshot", root, compare.Options{
			Ignore: k.ignore, Holes: true,
			Accept: func(d compare.Difference) bool { return touchedByRuntime(d) || k.lostLink(d) },
		})
		if !k.c.Strict {
			return err
		}
		for _, name := range []string{".dockerenv", "etc/mtab", "dev/console", "dev/pts", "dev/shm"} {
			if found, _ := filepath.Glob(filepath.Join(root, name)); found != nil {
				err = errors.Join(err, fmt.Errorf("the image's snapshot holds the runtime's /%s", name))
			}
		}
		return err
	})
}

// withView calls f with the snapshot of a chain, mounted.
func (l *Lab) withView(ctx context.Context, chain []digest.Digest, f func(root string) error) error {
	sn := l.client.SnapshotService(l.mode.snapshotter())
	key := "look-" + rand.Text()
	mounts, err := sn.View(ctx, key, identity.ChainID(chain).String())
	if err != nil {
		return fmt.Errorf("view the image's snapshot: %w", err)
	}
	var found error
	err = mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		found = f(root)
		return nil
	})
	return errors.Join(err, found, sn.Remove(ctx, key))
}

// unpacked compares what containerd's applier made of the image with the
// container, and with the snapshot.
func (k *check) unpacked(ctx context.Context, how, root string) error {
	err := k.compareContainer(ctx, how, root, compare.Options{
		Ignore: k.ignore, IgnoreRoot: true,
		Accept: func(d compare.Difference) bool { return touchedByRuntime(d) || lostByApplier(d) || k.lostLink(d) },
	})
	return errors.Join(err, k.withView(ctx, k.img.config.RootFS.DiffIDs, func(snapshot string) error {
		options := compare.Options{Ignore: k.ignore, IgnoreRoot: true, Accept: lostByApplier}
		if k.c.Strict {
			options.Ignore = nil
		} else {
			// Stock leaves the runtime's files in the snapshot: that is told
			// by one case and not by all.
			options.Accept = func(d compare.Difference) bool { return touchedByRuntime(d) || lostByApplier(d) }
		}
		return k.compare(ctx, "the image's snapshot (A) and "+how+" (B)", snapshot, root, options)
	}))
}

func (k *check) compareContainer(ctx context.Context, what, root string, options compare.Options) error {
	if k.container == "" {
		return nil
	}
	options.MapA = k.mode.IDs.ToContainer
	return k.compare(ctx, "the container (A) and "+what+" (B)", k.container, root, options)
}

func (k *check) compare(ctx context.Context, what, a, b string, options compare.Options) error {
	err := compare.Trees(ctx, a, b, options)
	if found := (*compare.TreeDifference)(nil); errors.As(err, &found) {
		found.A, found.B = "", ""
		_, lines, _ := strings.Cut(found.Error(), "\n")
		return fmt.Errorf("%s differ at %d paths:\n%s", what, found.Paths, lines)
	}
	return err
}

// runtimeFiles are put into a container, or mounted over, by the runtime.
var runtimeFiles = []string{
	"/.dockerenv", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab",
	"/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys",
}

func (k *check) ignore(path string) bool {
	if slices.Contains(runtimeFiles, path) {
		return true
	}
	return k.c.Reserved && diff.IsReserved(filepath.Base(path))
}

// touchedByRuntime accepts the times of directories that the runtime's files
// are in.
func touchedByRuntime(d compare.Difference) bool {
	return d.Aspect == compare.ModTime && slices.Contains([]string{"/", "/etc", "/dev"}, d.Path)
}

// lostLink accepts what the mode explains with Mode.LostLinks and MovedLinks.
func (k *check) lostLink(d compare.Difference) bool {
	return d.Aspect == compare.HardLinks && (k.showsNoLink(d.Path) || k.moved(d.Path))
}

// moved reports whether a file is the image's still. Only a rename of a
// directory it is in can have changed its links.
func (k *check) moved(name string) bool {
	_, err := os.Lstat(filepath.Join(k.upper, name))
	return k.mode.MovedLinks && errors.Is(err, os.ErrNotExist)
}

func (k *check) showsNoLink(name string) bool {
	var st unix.Stat_t
	return k.mode.LostLinks && unix.Lstat(k.at(name), &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFREG
}

// lostByApplier accepts times that containerd's applier replaces, those that do
// not fit into 63 bits of nanoseconds since 1970.
func lostByApplier(d compare.Difference) bool {
	if d.Aspect != compare.ModTime {
		return false
	}
	t, err := time.Parse(time.RFC3339, d.A)
	return err == nil && (t.Unix() < 0 || t.After(time.Unix(0, 1<<63-1))) && strings.HasPrefix(d.B, "1970-01-01T00:00:00")
}
