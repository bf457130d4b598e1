package clientopts

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// remapSize is how many ids are mapped by options that are told where to only,
// as in containerd's client.
const remapSize = 65536

// WithRemappedSnapshot gives a new container a file system on an image, under the
// key id, in which ids from 0 to 65535 are those from uid and gid on: for a
// container with a user namespace of that mapping (oci.WithUserNamespace).
//
// Where snapshotter, kernel and file system map ids when a snapshot is mounted
// (idmapped mounts), that is left to them, and costs nothing. Elsewhere the
// container stands on a copy of the image's files with other owners, which is
// made once for each image and mapping, and kept as long as the image's own
// snapshot. Mode bits, file capabilities, access control lists and hard links
// are in both as in the image. One that is being made is nobody's before it is
// whole: who needs it at the same time waits, or makes another.
//
// It takes the place of the option of client that has that name, which sets
// Snapshotter, SnapshotKey and Image as this does. The image is unpacked if it is
// not yet. Snapshots are mounted by this process to map their ids: it must be on
// containerd's machine, as root.
//
// [WithUpgrade] and [WithRollback] keep the mapping.
func WithRemappedSnapshot(id string, i client.Image, uid, gid uint32) client.NewContainerOpts {
	return remapOpt(id, i, shiftTo(uid, gid), false)
}

// WithRemappedSnapshotView is WithRemappedSnapshot for a file system that is
// read-only.
func WithRemappedSnapshotView(id string, i client.Image, uid, gid uint32) client.NewContainerOpts {
	return remapOpt(id, i, shiftTo(uid, gid), true)
}

// WithUserNSRemappedSnapshot is [WithRemappedSnapshot] for any mapping.
func WithUserNSRemappedSnapshot(id string, i client.Image, uidmaps, gidmaps []specs.LinuxIDMapping) client.NewContainerOpts {
	return remapOpt(id, i, idmap.Map{UIDs: ranges(uidmaps), GIDs: ranges(gidmaps)}, false)
}

// WithUserNSRemappedSnapshotView is [WithRemappedSnapshotView] for any mapping.
func WithUserNSRemappedSnapshotView(id string, i client.Image, uidmaps, gidmaps []specs.LinuxIDMapping) client.NewContainerOpts {
	return remapOpt(id, i, idmap.Map{UIDs: ranges(uidmaps), GIDs: ranges(gidmaps)}, true)
}

// WithNoPivotRoot has runc move to the container's root without pivot_root(2),
// which fails where that root is on the initial RAM file system. The other
// options of the task, and of the container's runtime, stay. Without pivot_root
// a privileged container can get out of its root.
//
// It is containerd's own, for who takes all options from here.
func WithNoPivotRoot(ctx context.Context, cl *client.Client, t *client.TaskInfo) error {
	return client.WithNoPivotRoot(ctx, cl, t)
}

func shiftTo(uid, gid uint32) idmap.Map {
	return idmap.Map{
		UIDs: []idmap.Range{{Container: 0, Host: uid, Size: remapSize}},
		GIDs: []idmap.Range{{Container: 0, Host: gid, Size: remapSize}},
	}
}

func ranges(maps []specs.LinuxIDMapping) []idmap.Range {
	all := make([]idmap.Range, len(maps))
	for i, m := range maps {
		all[i] = idmap.Range{Container: m.ContainerID, Host: m.HostID, Size: m.Size}
	}
	return all
}

func remapOpt(id string, i client.Image, m idmap.Map, readonly bool) client.NewContainerOpts {
	return func(ctx context.Context, cl *client.Client, c *containers.Container) (err error) {
		ctx, end, err := operation(ctx, cl, "remap", id)
		if err == nil {
			err = remappedSnapshot(ctx, cl, c, id, i, m, readonly)
			end(err)
		}
		if err != nil {
			return fmt.Errorf("make the snapshot of container %s: %w", c.ID, err)
		}
		return nil
	}
}

func remappedSnapshot(ctx context.Context, cl *client.Client, c *containers.Container, id string, image client.Image, m idmap.Map, readonly bool) error {
	name, err := snapshotterOf(ctx, cl, c)
	if err != nil {
		return err
	}
	p := newContainer(cl, c.ID, name)
	parent, _, err := p.unpacked(ctx, image)
	if err != nil {
		return err
	}
	prepare := snapshotter.MakeFunc(p.Snapshots.Prepare)
	if readonly {
		prepare = p.Snapshots.View
	}
	if err := p.prepareMapped(ctx, prepare, id, parent, m, nil); err != nil {
		return err
	}
	c.Snapshotter, c.SnapshotKey, c.Image = name, id, image.Name()
	return nil
}

// prepareMapped makes a snapshot in which ids are mapped, if the mapping is not empty.
// Without a parent there is but the root directory: it gets the owner that root has
// outside.
func (p *clientContainer) prepareMapped(ctx context.Context, prepare snapshotter.MakeFunc, key, chain string, m idmap.Map, opts []snapshots.Opt) error {
	parent := chain
	if !m.Empty() {
		if _, _, err := idmap.Func(m.ToHost).Pair(0, 0); err != nil {
			return fmt.Errorf("the mapping lacks root: %w", err)
		}
		labels, on, err := p.mapIDs(ctx, prepare, key, chain, m)
		if err != nil {
			return err
		}
		parent, opts = on, append(opts, snapshots.WithLabels(labels))
	}
	mounts, err := prepare(ctx, key, parent, opts...)
	if err != nil {
		return fmt.Errorf("prepare snapshot %s on %q: %w", key, parent, err)
	}
	if parent != "" || m.Empty() || len(mounts) > 0 && slices.Contains(mounts[0].Options, "ro") {
		return nil
	}
	return snapshotter.Remap(ctx, mounts, m.ToHost)
}

// mapIDs returns the labels with which a snapshot on parent has mapped ids, or
// else the copy of parent that it is to be made on.
func (p *clientContainer) mapIDs(ctx context.Context, prepare snapshotter.MakeFunc, id, parent string, m idmap.Map) (map[string]string, string, error) {
	if parent == "" {
		return nil, "", nil
	}
	mounted, err := snapshotter.MapsByMount(ctx, p.Snapshots, prepare, id+"-idmapped-"+rand.Text(), parent, m)
	if err != nil {
		return nil, "", err
	}
	if mounted {
		return snapshotter.MappedLabels(m), parent, nil
	}
	parent, err = p.remapped(ctx, parent, m)
	return nil, parent, err
}
