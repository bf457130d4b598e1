package imageservice

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
)

// CommitImage makes an image of a container's file system and returns its id,
// the digest of its manifest. The image has the layers of the container's
// image and one more with the container's changes, or none more if there are
// no changes. Its snapshot stands on the image's snapshots: files that only
// the runtime put into the container are not in it. With [FeatureSealCommits] a
// stopped container is sealed first.
func (s *Service) CommitImage(ctx context.Context, c moby.CommitConfig) (moby.ImageID, error) {
	look := s.look
	if s.sealCommits != nil && s.sealCommits() {
		look = s.lookSealed(sparing)
	}
	id, err := s.commit(ctx, c, look)
	return commitResult(c, id, err)
}

func commitResult(c moby.CommitConfig, id moby.ImageID, err error) (moby.ImageID, error) {
	if err != nil {
		return "", compat.DockerError(fmt.Errorf("commit container %s: %w", c.ContainerID, err))
	}
	return id, nil
}

// lookFunc finds out what a commit goes by.
type lookFunc func(context.Context, *phases.Operation, *moby.Container) (looked, error)

func (s *Service) commit(ctx context.Context, c moby.CommitConfig, look lookFunc) (_ moby.ImageID, err error) {
	ctr := s.containers.Get(c.ContainerID)
	if ctr == nil {
		return "", fmt.Errorf("no such container: %w", errdefs.ErrNotFound)
	}
	defer s.locks.Read(ctr.ID)()
	ctx, t, finish := phases.Begin(ctx, "commit", ctr.ID)
	defer func() { finish(err) }()
	pause := pauseOf(ctx)
	ctx, end, err := s.operations.Begin(ctx, "commit", ctr.ID, pause != nil)
	if err != nil {
		return "", err
	}
	defer func() { end(err) }()
	names, err := s.blobs.Names(ctx)
	if err != nil {
		return "", err
	}
	defer names.Close()

	l, made, err := s.read(ctx, t, ctr, look, pause)
	if err != nil {
		return "", err
	}
	defer made.drop(ctx)
	ctx, done := t.Phase(ctx, "publish")
	id, err := s.publish(ctx, committed(l.base, ctr.ImagePlatform, made.layer, c, time.Now()), names, made.commit)
	done(err)
	return id, err
}

// readTries is how often a container is read that moves meanwhile.
const readTries = 3

// read seals a container as it is. One that moves meanwhile, which only a stopped
// one does, is read again.
func (s *Service) read(ctx context.Context, t *phases.Operation, ctr *moby.Container, look lookFunc, pause Pause) (l looked, made sealed, err error) {
	for range readTries {
		if l, err = look(ctx, t, ctr); err != nil {
			return l, made, err
		}
		l.pause = pause
		if made, err = s.seal(ctx, t, ctr, l); !errors.Is(err, errMoved) {
			return l, made, err
		}
	}
	return l, made, err
}

// looked is what a commit goes by.
type looked struct {
	base       baseimage.Image
	overlay    *changes.Container
	stack      containerstore.Stack // what overlay is made of
	unreadable error                // diff.ErrUnsupported instead of an overlay
	pause      Pause                // for reading the container
}

// look finds out about a container and its image, at the same time.
func (s *Service) look(ctx context.Context, t *phases.Operation, ctr *moby.Container) (l looked, err error) {
	ctx, done := t.Phase(ctx, "look")
	defer func() { done(err) }()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		l.base, err = s.base(ctx, ctr)
		return err
	})
	both.Go(func() (err error) {
		l.overlay, l.stack, err = s.overlay(ctx, ctr)
		if errors.Is(err, diff.ErrUnsupported) {
			l.unreadable, err = err, nil
		}
		return err
	})
	err = both.Wait()
	return l, err
}

// base reads the image that a container stands on, and keeps it: container and
// image may both be removed before the new image refers to the layers.
func (s *Service) base(ctx context.Context, ctr *moby.Container) (baseimage.Image, error) {
	if ctr.ImageManifest == nil { // FROM scratch
		return baseimage.Image{}, nil
	}
	if err := s.operations.KeepBlob(ctx, ctr.ImageManifest.Digest); err != nil {
		return baseimage.Image{}, err
	}
	return baseimage.Read(ctx, s.content, *ctr.ImageManifest, ctr.ImagePlatform)
}

// committed describes the image that a commit makes: its base's, plus layer,
// with the configuration that the request asks for. It shares no slice or map
// with the base or the container.
func committed(base baseimage.Image, platform ocispec.Platform, layer diff.Layer, c moby.CommitConfig, now time.Time) newImage {
	now = now.UTC()
	diffIDs := slices.Clone(base.Config.RootFS.DiffIDs)
	layers := compat.OCILayers(base.Manifest.Layers)
	if !layer.Empty() {
		diffIDs = append(diffIDs, layer.DiffID)
		layers = append(layers, layer.Blob)
	}
	author := c.Author
	if author == "" {
		author = base.Config.Author
	}
	if diffIDs == nil {
		diffIDs = []digest.Digest{} // "null" is not a list to all readers
	}
	return newImage{
		parent:          digest.Digest(c.ParentImageID),
		layers:          layers,
		containerConfig: c.ContainerConfig,
		config: imagespec.DockerOCIImage{
			Image: ocispec.Image{
				Created:  &now,
				Author:   author,
				Platform: imagePlatform(base.Config.Platform, platform),
				RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
				History: append(slices.Clone(base.Config.History), ocispec.History{
					Created:    &now,
					CreatedBy:  createdBy(c.ContainerConfig),
					Author:     author,
					Comment:    c.Comment,
					EmptyLayer: layer.Empty(),
				}),
			},
			Config: compat.ImageConfig(c.Config),
		},
	}
}

// imagePlatform is the base's platform with its variant, version and features;
// without a base it is what the container was created for, or runs on.
func imagePlatform(base, container ocispec.Platform) ocispec.Platform {
	p := base
	if p.OS == "" && p.Architecture == "" {
		p = container
	}
	if p.Architecture == "" {
		p.Architecture = runtime.GOARCH
	}
	if p.OS == "" {
		p.OS = runtime.GOOS
	}
	p.OSFeatures = slices.Clone(p.OSFeatures)
	return p
}

// createdBy is the command that `docker history` shows for a layer.
func createdBy(cfg *moby.ContainerConfig) string {
	if cfg == nil {
		return ""
	}
	return strings.Join(cfg.Cmd, " ")
}
