package revisions

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/internal/added"
	"github.com/baleen-project/baleen/imageservice/layers"
)

// UpgradeOptions says to what a container is upgraded, and how.
type UpgradeOptions struct {
	Image   string // a name or id of an image that the daemon has
	Message string
	// Init fills the new init layer, as in CreateLayer; nil for none.
	Init     moby.InitLayerFunc
	Policies Policies
	DryRun   bool // only plan; the container may be running
}

// PrepareUpgrade merges what a container changed into another image. The
// container must be stopped, and stay so until the move has been run or
// abandoned; for a dry run it may be running, and the move need not be ended.
//
// If a policy is to fail and there are conflicts, the error is a
// [*merge.ConflictError], and the move is not nil but has the plan alone. A dry
// run tells them in the plan, and is no failure.
func (s *Store) PrepareUpgrade(ctx context.Context, ctr *moby.Container, o UpgradeOptions) (*Move, error) {
	m, ctx, err := s.move(ctx, "upgrade", ctr, o.DryRun)
	if err == nil {
		err = m.prepared(m.upgrade(ctx, o), o.DryRun)
	}
	if err != nil {
		return m.planOnly(err), compat.DockerError(fmt.Errorf("upgrade container %s to %s: %w", ctr.ID, o.Image, err))
	}
	return m, nil
}

// prepared ends a move that could not be prepared, or was only planned.
func (m *Move) prepared(err error, dry bool) error {
	var conflicts *merge.ConflictError
	if dry && errors.As(err, &conflicts) {
		err = nil
	}
	if errors.Is(err, diff.ErrUnsupported) {
		err = fmt.Errorf("changes can be merged only where they are in layers of their own: %w: %w", err, errdefs.ErrNotImplemented)
	}
	if err != nil || dry {
		m.end(err)
	}
	return err
}

// planOnly is the move that goes with an error.
func (m *Move) planOnly(err error) *Move {
	var conflicts *merge.ConflictError
	if !errors.As(err, &conflicts) {
		return nil
	}
	return &Move{Plan: m.Plan}
}

func (m *Move) upgrade(ctx context.Context, o UpgradeOptions) error {
	old, err := m.s.Files.Base(ctx, m.ctr)
	if err != nil {
		return fmt.Errorf("read the image that it stands on: %w", err)
	}
	to, img, err := m.s.resolve(ctx, o.Image, m.ctr.ImagePlatform)
	if err != nil {
		return err
	}
	to.Config, m.Plan.Config = compat.Follow(m.ctr.Config, compat.ContainerConfig(old.Config.Config), compat.ContainerConfig(img.Config.Config), moby.BoundPorts(m.ctr))
	to.Config.Image = o.Image
	to.Volumes = added.Volumes(m.ctr, to.Config)
	m.Plan.Config = append(m.Plan.Config, compat.FollowCompose(to.Config, m.ctr.Config.Image, digestsOf(stateOf(m.ctr), old), digestsOf(to, img))...)
	if err := m.describe(ctx, to, "", o.DryRun); err != nil {
		return err
	}
	chain, err := m.s.Layers.Unpack(ctx, to.Manifest)
	if err != nil {
		return err
	}
	own, stack, err := m.mergeable(ctx, o.DryRun)
	if err != nil {
		return err
	}
	if stack.IDs.Way == containerstore.Remapped {
		if chain, err = m.s.Layers.Remapped(ctx, chain); err != nil {
			return err
		}
	}
	merge := &merge.Changes{Container: own}
	layers, err := m.history.Layers(ctx, chain)
	if err != nil {
		return err
	}
	merge.New = layers.Lowers
	if o.DryRun {
		return m.plan(ctx, merge, o.Policies)
	}
	return m.merge(ctx, merge, o, chain, stack.IDs)
}

// mergeable is the container's own layers as they can be merged on others, with
// the ids that those have.
func (m *Move) mergeable(ctx context.Context, dry bool) (own *changes.Container, stack containerstore.Stack, err error) {
	if dry { // it may be moved since the history was opened
		own, stack, err = m.s.Files.Overlay(ctx, m.ctr)
	} else if stack, err = m.tree.Stack(ctx); err == nil {
		own, err = m.s.Files.OverlayOf(ctx, m.ctr, stack)
	}
	if err != nil {
		return nil, stack, err
	}
	if stack.IDs.Way == containerstore.Remapped {
		own.Mapped = 0
	}
	own.Whole, m.ids = true, stack.IDs
	return own, stack, nil
}

// resolve finds an image for a container of that platform, and keeps it.
func (s *Store) resolve(ctx context.Context, name string, platform ocispec.Platform) (st State, _ baseimage.Image, err error) {
	var wanted *ocispec.Platform
	if platform.OS != "" && platform.Architecture != "" {
		wanted = &platform
	}
	img, err := s.Upstream.GetImage(ctx, name, moby.GetImageOpts{Platform: wanted})
	if err != nil {
		return st, baseimage.Image{}, err
	}
	st = State{ImageID: img.ID(), Platform: img.Platform()}
	if img.Details == nil || img.Details.ManifestDescriptor == nil {
		return st, baseimage.Image{}, fmt.Errorf("image %s has no manifest: %w", name, errdefs.ErrFailedPrecondition)
	}
	st.Manifest = img.Details.ManifestDescriptor
	if err := s.Files.Operations.KeepBlob(ctx, st.Manifest.Digest); err != nil {
		return st, baseimage.Image{}, err
	}
	base, err := baseimage.Read(ctx, s.Files.Content, *st.Manifest, st.Platform)
	return st, base, err
}

// merge makes the merged revision, which is pending until Run.
func (m *Move) merge(ctx context.Context, merge *merge.Changes, o UpgradeOptions, on string, ids containerstore.IDs) (err error) {
	r, err := m.State.record(api.KindUpgrade, o.Message)
	if err != nil {
		return err
	}
	m.pending, r.Number = m.before.Number+1, m.before.Number+1
	if o.Init != nil {
		image := on
		on, err = m.tree.PendingInit(ctx, r.Number, image, ids, func(mounts []mount.Mount) error {
			return layers.FillInit(ctx, mounts, image != "", ids, o.Init)
		})
		if err != nil {
			return err
		}
	}
	return m.seal(ctx, merge, o.Policies, r, on, m.before.Number)
}
