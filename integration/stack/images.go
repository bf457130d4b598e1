package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// baseImage is an image that Moby's suites and ours expect to be there, made
// here because no registry is at hand.
type baseImage struct {
	rootfs   rootfs
	platform string // of Docker's --platform, or empty for this machine's
	cmd      string // in JSON
}

// baseImages are those that LoadImages knows. Names with the same content are
// tags of one image.
var baseImages = map[string]baseImage{
	"busybox:latest":       {rootfs: busyboxRootfs, cmd: `["sh"]`},
	"busybox:glibc":        {rootfs: busyboxGlibcRootfs, cmd: `["sh"]`},
	"debian:bookworm-slim": {rootfs: debianRootfs, cmd: `["bash"]`},
	"debian:trixie-slim":   {rootfs: debianTrixieRootfs, cmd: `["bash"]`},
	"debian:workloads":     {rootfs: workloadsRootfs, cmd: `["bash"]`},
	"debian:latest":        {rootfs: debianRootfs, cmd: `["bash"]`},
	"hello-world:latest":   {rootfs: helloRootfs(runtime.GOARCH), cmd: `["/hello"]`},
	"hello-world:frozen":   {rootfs: helloRootfs(runtime.GOARCH), cmd: `["/hello"]`},
	"hello-world:amd64":    {rootfs: helloRootfs("amd64"), platform: "linux/amd64", cmd: `["/hello"]`},
	"hello-world:arm64":    {rootfs: helloRootfs("arm64"), platform: "linux/arm64", cmd: `["/hello"]`},
}

const imagePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// rootfs is the content of an image: a tar file that is built when it is first
// needed and then kept in bin/images.
type rootfs struct {
	name string
	// build writes the tar file to path. It may use the folder scratch.
	build func(ctx context.Context, path, scratch string) error
}

// BaseImages returns the names that LoadImages knows.
func BaseImages() []string {
	var names []string
	for name := range baseImages {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// BaseImageTar returns the path of a tar file with the files of a base image, which
// is built on the first call on a machine. The file is shared: read it only.
func BaseImageTar(ctx context.Context, name string) (string, error) {
	image, ok := baseImages[name]
	if !ok {
		return "", errdefs.ErrInvalidArgument.WithMessage(name + " is none of the base images")
	}
	bin, err := BinDir()
	if err != nil {
		return "", err
	}
	return image.rootfs.tar(ctx, bin)
}

// LoadImages puts base images into dockerd, those that are not there yet. With no
// tag "latest" is meant. What they are made of is built on the first call on a
// machine, which takes some seconds, or a minute for debian, and kept in
// bin/images.
func (s *Stack) LoadImages(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !strings.Contains(name, ":") {
			name += ":latest"
		}
		image, ok := baseImages[name]
		if !ok {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"%s is none of the base images: %s", name, strings.Join(BaseImages(), ", ")))
		}
		if s.hasImage(ctx, name) {
			continue
		}
		if err := s.loadImage(ctx, name, image); err != nil {
			return fmt.Errorf("load image %s: %w", name, err)
		}
	}
	return nil
}

func (s *Stack) hasImage(ctx context.Context, name string) bool {
	return s.Docker(ctx, "image", "inspect", "--format", "{{.Id}}", name).Run() == nil
}

func (s *Stack) loadImage(ctx context.Context, name string, image baseImage) error {
	for sibling, other := range baseImages {
		if sibling != name && other.rootfs.name == image.rootfs.name && s.hasImage(ctx, sibling) {
			return s.docker(ctx, "tag", sibling, name)
		}
	}
	path, err := image.rootfs.tar(ctx, s.bin)
	if err != nil {
		return err
	}
	args := []string{"import", "--change", "CMD " + image.cmd, "--change", "ENV " + imagePath}
	if image.platform != "" {
		args = append(args, "--platform", image.platform)
	}
	return s.docker(ctx, append(args, path, name)...)
}

// docker runs the docker CLI; an error has what it said.
func (s *Stack) docker(ctx context.Context, args ...string) error {
	out, err := s.Docker(ctx, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

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
	return os.Rename(part, path)
}
