package stack

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// LoadImages puts base images into dockerd, those that are not there yet. With no
// tag "latest" is meant. What they are made of is built on the first call on a
// machine, which takes some seconds, or a minute for debian, and kept in
// bin/images.
func (s *Stack) LoadImages(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !strings.Contains(name, ":") {
			name += ":latest"
		}
		image, err := baseimage.Find(name)
		if err != nil {
			return err
		}
		if s.hasImage(ctx, name) {
			continue
		}
		if err := s.loadImage(ctx, image); err != nil {
			return fmt.Errorf("load image %s: %w", name, err)
		}
	}
	return nil
}

func (s *Stack) hasImage(ctx context.Context, name string) bool {
	return s.Docker(ctx, "image", "inspect", "--format", "{{.Id}}", name).Run() == nil
}

func (s *Stack) loadImage(ctx context.Context, image baseimage.Image) error {
	for _, sibling := range image.Siblings() {
		if s.hasImage(ctx, sibling) {
			return s.docker(ctx, "tag", sibling, image.Name)
		}
	}
	path, err := image.Tar(ctx, s.bin)
	if err != nil {
		return err
	}
	args := []string{"import", "--change", "CMD " + image.Command, "--change", "ENV " + baseimage.Path}
	if image.Platform != "" {
		args = append(args, "--platform", image.Platform)
	}
	return s.docker(ctx, append(args, path, image.Name)...)
}

// GenerateImage makes an image and puts it into dockerd.
func (s *Stack) GenerateImage(ctx context.Context, image baseimage.Generated) error {
	if err := image.Check(); err != nil {
		return fmt.Errorf("generate image %s: %w", image.Name, err)
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(image.WriteArchive(ctx, s.bin, writer)) }()
	defer reader.Close() // or else the writer would wait for ever after an error

	cmd := s.Docker(ctx, "load", "--quiet")
	cmd.Stdin = reader
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("generate image %s: docker load: %w: %s", image.Name, err, out)
	}
	return nil
}

// docker runs the docker CLI; an error has what it said.
func (s *Stack) docker(ctx context.Context, args ...string) error {
	out, err := s.Docker(ctx, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
