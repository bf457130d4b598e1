package baseimage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Image is an image that Moby's suites and ours expect to be there.
type Image struct {
	Name     string // with its tag
	Platform string // of Docker's --platform, or empty for this machine's
	Command  string // of Docker's CMD, in JSON

	rootfs rootfs
}

// all are the base images. Those with the same content are tags of one image.
var all = map[string]Image{
	"busybox:latest":       {rootfs: busyboxRootfs, Command: `["sh"]`},
	"busybox:glibc":        {rootfs: busyboxGlibcRootfs, Command: `["sh"]`},
	"debian:bookworm-slim": {rootfs: debianRootfs, Command: `["bash"]`},
	"debian:trixie-slim":   {rootfs: debianTrixieRootfs, Command: `["bash"]`},
	"debian:workloads":     {rootfs: workloadsRootfs, Command: `["bash"]`},
	"debian:latest":        {rootfs: debianRootfs, Command: `["bash"]`},
	"hello-world:latest":   {rootfs: helloRootfs(runtime.GOARCH), Command: `["/hello"]`},
	"hello-world:frozen":   {rootfs: helloRootfs(runtime.GOARCH), Command: `["/hello"]`},
	"hello-world:amd64":    {rootfs: helloRootfs("amd64"), Platform: "linux/amd64", Command: `["/hello"]`},
	"hello-world:arm64":    {rootfs: helloRootfs("arm64"), Platform: "linux/arm64", Command: `["/hello"]`},
}

// Path is the environment of all base images.
const Path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// rootfs is the content of an image: a tar file that is built when it is first
// needed and then kept.
type rootfs struct {
	name string
	// former is the pattern of names that it may have had before; their files go when it
	// is built.
	former string
	// build writes the tar file to path. It may use the folder scratch.
	build func(ctx context.Context, path, scratch string) error
}

// Names returns the names of all base images.
func Names() []string { return slices.Sorted(maps.Keys(all)) }

// Find returns the base image of a name with its tag, or an error of the class invalid
// argument.
func Find(name string) (Image, error) {
	image, ok := all[name]
	if !ok {
		return Image{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"%s is none of the base images: %s", name, strings.Join(Names(), ", ")))
	}
	image.Name = name
	return image, nil
}

// Siblings are the names of other images of the same content.
func (i Image) Siblings() (names []string) {
	for name, other := range all {
		if name != i.Name && other.rootfs.name == i.rootfs.name {
			names = append(names, name)
		}
	}
	return names
}

// Tar returns the path of a tar file with the files of the image. It is built on the
// first call on a machine, and kept in the folder images of bin. The file is shared:
// read it only.
func (i Image) Tar(ctx context.Context, bin string) (string, error) { return i.rootfs.tar(ctx, bin) }

// tar returns the path of the tar file, which it builds if need be. Packages are
// tested in parallel, so a lock makes others wait instead of building too.
func (r rootfs) tar(ctx context.Context, bin string) (string, error) {
	dir := filepath.Join(bin, "images")
	path := filepath.Join(dir, r.name+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", path, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("build %s: lock: %w", path, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil // another process has built it meanwhile
	}
	if err := r.buildAt(ctx, path, filepath.Join(dir, ".scratch")); err != nil {
		return "", fmt.Errorf("build %s: %w", path, err)
	}
	return path, nil
}

// buildAt makes path appear only when it is complete. One scratch folder will
// do: whoever holds the lock clears away what a killed one left in it.
func (r rootfs) buildAt(ctx context.Context, path, scratch string) error {
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	part := filepath.Join(scratch, "rootfs.tar")
	if err := r.build(ctx, part, scratch); err != nil {
		return err
	}
	former, err := filepath.Glob(filepath.Join(filepath.Dir(path), r.former+".tar"))
	for _, name := range former {
		err = errors.Join(err, os.Remove(name))
	}
	return errors.Join(err, os.Rename(part, path))
}
