package clientopts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/protobuf/proto"
	ptypes "github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// WithCheckpoint gives a new container what a checkpoint holds: its image, its
// files on a snapshot of its own, its runtime and its spec. The checkpoint is one of
// ours, as [Checkpoint] makes it, or of containerd's (`ctr containers checkpoint`), and
// wholly in the content store: if it is not, the error is [checkpoint.MissingParts].
//
// The container's image must be in the checkpoint, or known here by its name. One
// that is only in the checkpoint gets its name here. Layers may be packed in any
// way that [apply.ToDir] reads. The snapshotter is the one that an earlier option
// has chosen, or the namespace's.
//
// The files of a container with a user namespace get the ids of the host, as
// [WithUserNSRemappedSnapshot] gives them; the mapping is that of the checkpoint's spec.
//
// If an earlier option has set the container's snapshot, as client.WithSnapshot does,
// that is filled in place of a new one. It must be active on the container's image,
// mounted by nobody, and kept by a lease or a label until the container has it. Files
// in it that the checkpoint says nothing of stay. After an error some of the
// checkpoint's may be there.
//
// The container is there with all its files, or not at all. If this process or
// containerd is killed before, containerd's client leaves a lease that ends after a day
// and keeps the new snapshot till then. The next container of that id does not mind it,
// and [Discard] then removes it. An image that has got its name here keeps it.
//
// Options after this one can set others, such as client.WithSpec where the
// checkpoint has none, since its container did not run, or where its spec names
// files that are not here, as that of a container of Docker's does, or a control
// group that is in use, as that of the checkpointed container is. The history
// of the container begins with what it is restored to, as with [WithNewSnapshot].
func WithCheckpoint(saved client.Image) client.NewContainerOpts {
	return func(ctx context.Context, cl *client.Client, c *containers.Container) error {
		if err := restore(ctx, cl, c, saved); err != nil {
			return fmt.Errorf("restore container %s of %s: %w", c.ID, saved.Name(), err)
		}
		return nil
	}
}

// WithTaskCheckpoint has a new task go on where the processes of a checkpoint
// stood, which it must have. The container is one that [WithCheckpoint] made of
// the same. It takes the place of client.WithTaskCheckpoint. What the checkpoint
// has compressed is unpacked in the content store: under the lease in the context,
// or if there is none under one that ends after an hour.
func WithTaskCheckpoint(saved client.Image) client.NewTaskOpts {
	return func(ctx context.Context, cl *client.Client, info *client.TaskInfo) error {
		c, err := readSaved(ctx, cl, saved)
		var raw ocispec.Descriptor
		if err == nil {
			raw, err = c.unpackedProcess(ctx, cl)
		}
		if err != nil {
			return fmt.Errorf("restore the processes of %s: %w", saved.Name(), err)
		}
		info.Checkpoint = &types.Descriptor{
			MediaType: raw.MediaType, Digest: raw.Digest.String(), Size: raw.Size, Annotations: raw.Annotations,
		}
		return nil
	}
}

// restored is a checkpoint of which a container or a task is made.
type restored struct {
	*checkpoint.Checkpoint
	ids idmap.Map // of the container's files
}

func readSaved(ctx context.Context, cl *client.Client, saved client.Image) (restored, error) {
	c, err := checkpoint.Read(ctx, cl.ContentStore(), saved.Target())
	return restored{Checkpoint: c}, err
}

// taskPatience is how long what was unpacked for a new task is kept at least.
const taskPatience = time.Hour

func (c restored) unpackedProcess(ctx context.Context, cl *client.Client) (ocispec.Descriptor, error) {
	raw, packed, err := c.RawProcess()
	if err != nil || !packed {
		return raw, err
	}
	ls := cl.LeasesService()
	if id, ok := leases.FromContext(ctx); ok {
		return raw, c.unpackUnder(ctx, cl, leases.Lease{ID: id}, raw)
	}
	l, err := ls.Create(ctx, leases.WithRandomID(), leases.WithExpiration(taskPatience))
	if err != nil {
		return raw, fmt.Errorf("create lease: %w", err)
	}
	if err = c.unpackUnder(leases.WithLease(ctx, l.ID), cl, l, raw); err != nil {
		cctx, cancel := snap.Cleanup(ctx)
		defer cancel()
		err = errors.Join(err, ls.Delete(cctx, l))
	}
	return raw, err
}

// unpackUnder unpacks the state of the processes, which a lease keeps.
func (c restored) unpackUnder(ctx context.Context, cl *client.Client, l leases.Lease, raw ocispec.Descriptor) error {
	if err := cl.LeasesService().AddResource(ctx, l, leases.Resource{ID: raw.Digest.String(), Type: "content"}); err != nil {
		return fmt.Errorf("keep the state of the processes: %w", err)
	}
	return c.UnpackProcess(ctx, cl.ContentStore())
}

func restore(ctx context.Context, cl *client.Client, c *containers.Container, saved client.Image) error {
	from, err := readSaved(ctx, cl, saved)
	if err != nil {
		return err
	}
	base, known, err := from.image(ctx, cl)
	if err != nil {
		return err
	}
	if err := from.restoreSpec(ctx, cl.ContentStore(), c); err != nil {
		return err
	}
	if from.ids, err = from.mapping(c); err != nil {
		return err
	}
	if c.SnapshotKey != "" {
		err = from.restoreOnto(ctx, cl, c, base)
	} else {
		err = from.restoreNew(ctx, cl, c, base)
	}
	if err != nil {
		return err
	}
	if known || base.Name() == "" {
		return nil
	}
	_, err = cl.ImageService().Create(ctx, images.Image{Name: base.Name(), Target: base.Target()})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("make image %s: %w", base.Name(), err)
	}
	return nil
}

// restoreNew makes a snapshot, and fills it.
func (c restored) restoreNew(ctx context.Context, cl *client.Client, to *containers.Container, base client.Image) error {
	// The lease is the caller's, which client.NewContainer is.
	if err := newSnapshot(ctx, cl, to, base, c.ids, nil); err != nil {
		return err
	}
	if err := c.fill(ctx, cl, to); err != nil {
		cctx, cancel := snap.Cleanup(ctx)
		defer cancel()
		return errors.Join(err, cl.SnapshotService(to.Snapshotter).Remove(cctx, to.SnapshotKey))
	}
	return nil
}

// restoreOnto fills the snapshot that an earlier option has chosen.
func (c restored) restoreOnto(ctx context.Context, cl *client.Client, to *containers.Container, base client.Image) error {
	name, err := snapshotterOf(ctx, cl, to)
	if err != nil {
		return err
	}
	p := newContainer(cl, to.ID, name)
	i, err := p.Snapshots.Stat(ctx, to.SnapshotKey)
	if err != nil {
		return fmt.Errorf("look up snapshot %s: %w", to.SnapshotKey, err)
	}
	chain, _, err := imageRecord(ctx, base)
	if err != nil {
		return err
	}
	if i.Kind != snapshots.KindActive || i.Parent != chain && (c.ids.Empty() || i.Parent != snapshotter.RemappedName(chain, c.ids)) {
		return fmt.Errorf("snapshot %s is not one to write to on the container's image: %w", i.Name, errdefs.ErrFailedPrecondition)
	}
	mapping, mapped, err := snapshotter.MappedFromLabels(i.Labels)
	if err != nil {
		return fmt.Errorf("read the mapping of snapshot %s: %w", i.Name, err)
	}
	if c.ids.Empty() && mapped || i.Parent == chain && !reflect.DeepEqual(mapping, c.ids) {
		return fmt.Errorf("the ids of snapshot %s are mapped in another way than the checkpoint's: %w", i.Name, errdefs.ErrFailedPrecondition)
	}
	to.Snapshotter, to.Image = name, base.Name()
	return c.fill(ctx, cl, to)
}

// mapping is that of the ids of the container's files. Only that of its spec, which the
// caller has chosen to run, is heeded.
func (c restored) mapping(to *containers.Container) (idmap.Map, error) {
	if c.IDs == "" {
		return idmap.Map{}, nil
	}
	m, err := snap.ParseIDs(c.IDs)
	if err != nil {
		return m, fmt.Errorf("annotation %s: %w", checkpoint.AnnotationIDs, err)
	}
	of, err := specIDs(to.Spec)
	if err == nil && !reflect.DeepEqual(m, of) {
		err = fmt.Errorf("annotation %s and the runtime spec map ids in two ways: %w", checkpoint.AnnotationIDs, errdefs.ErrInvalidArgument)
	}
	return m, err
}

// image is that of the container; known if there is a record of it.
func (c restored) image(ctx context.Context, cl *client.Client) (_ client.Image, known bool, err error) {
	var record images.Image
	if c.Image != "" {
		record, err = cl.ImageService().Get(ctx, c.Image)
	} else {
		err = errdefs.ErrNotFound
	}
	switch {
	case err == nil && (c.Base == nil || record.Target.Digest == c.Base.Digest):
		return client.NewImage(cl, record), true, nil
	case err != nil && !errdefs.IsNotFound(err):
		return nil, false, fmt.Errorf("look up image %s: %w", c.Image, err)
	case c.Base == nil:
		return nil, false, fmt.Errorf("the container's image %q is neither in the checkpoint nor here, pull it first: %w", c.Image, errdefs.ErrNotFound)
	}
	if err := c.adoptBase(ctx, cl.ContentStore()); err != nil {
		return nil, false, err
	}
	// Another image may have that name here: it keeps it.
	return client.NewImage(cl, images.Image{Name: c.Image, Target: *c.Base}), err == nil, nil
}

// adoptBase has the manifest of the container's image keep what it refers to,
// which it has not done as a part of a checkpoint.
func (c restored) adoptBase(ctx context.Context, store content.Store) error {
	if !images.IsManifestType(c.Base.MediaType) {
		return nil // of containerd's, whose parts all keep theirs
	}
	var m ocispec.Manifest
	if err := bounded.Image.ReadJSON(ctx, store, *c.Base, &m); err != nil {
		return checkpoint.Unreadable("the manifest of the container's image", *c.Base, err)
	}
	info := content.Info{Digest: c.Base.Digest, Labels: checkpoint.References(append([]ocispec.Descriptor{m.Config}, m.Layers...))}
	var paths []string
	for label := range info.Labels {
		paths = append(paths, "labels."+label)
	}
	if _, err := store.Update(ctx, info, paths...); err != nil {
		return fmt.Errorf("keep the container's image: %w", err)
	}
	return nil
}

// restoreSpec sets a container's spec and runtime, as far as the checkpoint has
// them.
func (c restored) restoreSpec(ctx context.Context, provider content.Provider, to *containers.Container) error {
	spec, err := readAny(ctx, provider, "the runtime spec", c.Spec)
	if err != nil {
		return err
	}
	options, err := readAny(ctx, provider, "the runtime's options", c.RuntimeOptions)
	if err != nil {
		return err
	}
	if spec != nil {
		if err := bounded.Part.Check(spec.GetValue()); err != nil {
			return fmt.Errorf("read the runtime spec: %w", err)
		}
		to.Spec = spec
	}
	if c.Runtime != "" {
		to.Runtime = containers.RuntimeInfo{Name: c.Runtime, Options: options}
	}
	return nil
}

func readAny(ctx context.Context, provider content.Provider, what string, desc *ocispec.Descriptor) (typeurl.Any, error) {
	if desc == nil {
		return nil, nil
	}
	data, err := bounded.Part.ReadBlob(ctx, provider, *desc)
	if err != nil {
		return nil, checkpoint.Unreadable(what, *desc, err)
	}
	var a ptypes.Any
	if err := proto.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", what, err, errdefs.ErrDataLoss)
	}
	return &a, nil
}

// fill writes what the checkpointed container changed into a new one's snapshot.
func (c restored) fill(ctx context.Context, cl *client.Client, into *containers.Container) error {
	if len(c.Own) == 0 {
		return nil
	}
	mounts, err := cl.SnapshotService(into.Snapshotter).Mounts(ctx, into.SnapshotKey)
	if err != nil {
		return fmt.Errorf("look up mounts of %s: %w", into.SnapshotKey, err)
	}
	var ids idmap.Func
	if !c.ids.Empty() {
		ids = c.ids.Outside
	}
	return c.FillMapped(ctx, mounts, func(ctx context.Context, layer ocispec.Descriptor) (io.ReadCloser, error) {
		blob, err := cl.ContentStore().ReaderAt(ctx, layer)
		if err != nil {
			return nil, checkpoint.Unreadable("the container's layer", layer, err)
		}
		return struct {
			io.Reader
			io.Closer
		}{content.NewReader(blob), blob}, nil
	}, ids, diff.Limit{})
}
