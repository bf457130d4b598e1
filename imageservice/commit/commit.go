package commit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

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
	"github.com/baleen-project/baleen/imageservice/internal/pause"
	"github.com/baleen-project/baleen/imageservice/internal/phases"
)

// lookFunc finds the origin of a commit.
type lookFunc func(context.Context, *phases.Operation, *moby.Container) (Origin, error)

// Commit makes an image of a container's file system and returns its id, the digest of
// its manifest. The image has the layers of the container's image and one more with the
// container's changes, or none more if there are no changes. Its snapshot stands on the
// image's snapshots: files that only the runtime put into the container are not in it.
// first says when the container is sealed before; nil is never.
func (m *Maker) Commit(ctx context.Context, ctr *moby.Container, c moby.CommitConfig, first *SealFirst) (_ moby.ImageID, err error) {
	look := m.Look
	if first != nil {
		look = m.lookSealed(*first)
	}
	defer m.Files.Locks.Read(ctr.ID)()
	ctx, t, finish := phases.Begin(ctx, "commit", ctr.ID)
	defer func() { finish(err) }()
	freeze := pause.Of(ctx)
	ctx, end, err := m.Files.Operations.Begin(ctx, "commit", ctr.ID, freeze != nil)
	if err != nil {
		return "", err
	}
	defer func() { end(err) }()
	names, err := m.Blobs.Names(ctx)
	if err != nil {
		return "", err
	}
	defer names.Close()

	l, made, err := m.read(ctx, t, ctr, look, freeze)
	if err != nil {
		return "", err
	}
	defer made.Drop(ctx)
	ctx, done := t.Phase(ctx, "publish")
	id, err := m.publish(ctx, Describe(l.Base, ctr.ImagePlatform, made.Layer, c, time.Now()), names, made.commit)
	done(err)
	return id, err
}

// readTries is how often a container is read that moves meanwhile.
const readTries = 3

// read seals a container as it is. One that moves meanwhile, which only a stopped
// one does, is read again.
func (m *Maker) read(ctx context.Context, t *phases.Operation, ctr *moby.Container, look lookFunc, freeze pause.Func) (l Origin, made Sealed, err error) {
	for range readTries {
		if l, err = look(ctx, t, ctr); err != nil {
			return l, made, err
		}
		l.Pause = freeze
		if made, err = m.Seal(ctx, t, ctr, l); !errors.Is(err, errMoved) {
			return l, made, err
		}
	}
	return l, made, err
}

// Origin is what a commit is made of: the image that a container stands on, and the
// folders of the container.
type Origin struct {
	Base       baseimage.Image
	Overlay    *changes.Container
	Stack      containerstore.Stack // what Overlay is made of
	Pause      pause.Func           // for reading the container
	unreadable error                // diff.ErrUnsupported instead of an overlay
}

// Look looks up a container and its image, at the same time.
func (m *Maker) Look(ctx context.Context, t *phases.Operation, ctr *moby.Container) (l Origin, err error) {
	ctx, done := t.Phase(ctx, "look")
	defer func() { done(err) }()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		l.Base, err = m.Files.Base(ctx, ctr)
		return err
	})
	both.Go(func() (err error) {
		l.Overlay, l.Stack, err = m.Files.Overlay(ctx, ctr)
		if errors.Is(err, diff.ErrUnsupported) {
			l.unreadable, err = err, nil
		}
		return err
	})
	err = both.Wait()
	return l, err
}

// Describe returns the image that a commit makes: its base's layers and layer, with the
// configuration that the request asks for. It shares no slice or map
// with the base or the container.
func Describe(base baseimage.Image, platform ocispec.Platform, layer diff.Layer, c moby.CommitConfig, now time.Time) Image {
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
	return Image{
		Layers:          layers,
		parent:          digest.Digest(c.ParentImageID),
		containerConfig: c.ContainerConfig,
		Config: imagespec.DockerOCIImage{
			Image: ocispec.Image{
				Created:  &now,
				Author:   author,
				Platform: Platform(base.Config.Platform, platform),
				RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
				History: append(slices.Clone(base.Config.History), ocispec.History{
					Created:    &now,
					CreatedBy:  CreatedBy(c.ContainerConfig),
					Author:     author,
					Comment:    c.Comment,
					EmptyLayer: layer.Empty(),
				}),
			},
			Config: compat.ImageConfig(c.Config),
		},
	}
}

// Platform is the base's platform with its variant, version and features;
// without a base it is what the container was created for, or runs on.
func Platform(base, container ocispec.Platform) ocispec.Platform {
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

// CreatedBy is the command that `docker history` shows for a layer.
func CreatedBy(cfg *moby.ContainerConfig) string {
	if cfg == nil {
		return ""
	}
	return strings.Join(cfg.Cmd, " ")
}
