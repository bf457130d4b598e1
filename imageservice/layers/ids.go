package layers

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/imageservice/internal/files"
	"github.com/baleen-project/baleen/snapshotter"
)

// mapsByMount remembers whether ids can be mapped by mounting.
type mapsByMount struct {
	mu           sync.Mutex
	known, works bool
}

// mapIDs says how the files of a new container on the image's snapshot parent
// get the ids of the user namespace, and on which snapshot it is to be made. It
// works under the lease in ctx.
func (s *Store) mapIDs(ctx context.Context, id, parent string) (on string, ids containerstore.IDs, err error) {
	if s.Files.IDs.Empty() {
		return parent, ids, nil
	}
	ids = containerstore.IDs{Way: containerstore.Remapped, Map: s.Files.IDs}
	if parent != "" {
		mounted, err := s.mapsByMount(ctx, id, parent)
		if err != nil {
			return "", ids, err
		}
		if mounted {
			ids.Way = containerstore.Mounted
			return parent, ids, nil
		}
	}
	on, err = s.Remapped(ctx, parent)
	return on, ids, err
}

// mapsByMount finds out once whether ids can be mapped by mounting.
func (s *Store) mapsByMount(ctx context.Context, id, parent string) (bool, error) {
	if s.CopyIDs {
		return false, nil
	}
	s.maps.mu.Lock()
	defer s.maps.mu.Unlock()
	if s.maps.known {
		return s.maps.works, nil
	}
	sn := s.Files.Snapshots("")
	works, err := snapshotter.MapsByMount(ctx, sn, sn.Prepare, files.TemporaryKey(id, "idmapped"), parent, s.Files.IDs)
	if err != nil {
		return false, fmt.Errorf("find out whether ids can be mapped by mounting: %w", err)
	}
	s.maps.known, s.maps.works = true, works
	return works, nil
}

// Remapped returns the copy of an image's snapshot whose files have the host's
// ids, and makes it if it is not there. Without an image it is "".
func (s *Store) Remapped(ctx context.Context, parent string) (string, error) {
	if parent == "" {
		return "", nil
	}
	// One that exists may be garbage, which its name in the lease prevents.
	if err := s.Files.Keep(ctx, snapshotter.RemappedName(parent, s.Files.IDs)); err != nil {
		return "", err
	}
	return snapshotter.Remapped(ctx, s.Files.Snapshots(""), s.Files.Snapshotter, parent, s.Files.IDs)
}

// FillInit has a new init layer filled. What the daemon makes there belongs to
// the root of the user namespace or to its own. In a layer that is mapped when it
// is mounted it must be the image's root's, and in others the namespace's.
func FillInit(ctx context.Context, mounts []mount.Mount, hasParent bool, ids containerstore.IDs, init moby.InitLayerFunc) error {
	if err := mount.WithTempMount(ctx, mounts, init); err != nil || ids.Way == containerstore.AsStored {
		return err
	}
	if ids.Way == containerstore.Remapped {
		return snapshotter.RemapWritten(ctx, mounts, rootToHost(ids.Map))
	}
	o, err := changes.ParseOverlay(mounts, hasParent)
	if err == nil {
		_, err = snapshotter.UnmapUpper(ctx, o.Uppers[0], ids.Map)
	}
	return err
}

// FillFunc writes into a layer that is empty, as if there were no user namespace.
type FillFunc func(ctx context.Context, mounts []mount.Mount) error

// fillMapped has a new layer filled, and gives what is in it then the host's ids.
// Directories that had to be made on the way may have those already.
func fillMapped(ctx context.Context, mounts []mount.Mount, m idmap.Map, fill FillFunc) error {
	if m.Empty() {
		return fill(ctx, mounts)
	}
	if !m.Disjoint() {
		return fmt.Errorf("ids inside and outside of the user namespace are partly the same: %w", errdefs.ErrNotImplemented)
	}
	if err := fill(ctx, mounts); err != nil {
		return err
	}
	return snapshotter.RemapWritten(ctx, mounts, func(id uint32, of idmap.Kind) (uint32, error) {
		if host, err := m.ToHost(id, of); err == nil {
			return host, nil
		}
		return id, nil
	})
}

// rootToHost maps root into the user namespace, and nobody else.
func rootToHost(m idmap.Map) idmap.Func {
	return func(id uint32, of idmap.Kind) (uint32, error) {
		if id != 0 {
			return id, nil
		}
		return m.ToHost(id, of)
	}
}

// activeLabels are for the active snapshot of a container; one without anything
// below has nothing to map when it is mounted. One that is filled has something
// from the start. Its image stays in containerd while the container has no revision,
// also when the image has lost its name: BuildKit keeps no image whose name it gives to
// another. Revisions keep theirs.
func activeLabels(ids containerstore.IDs, parent string, image *ocispec.Descriptor, filled bool) snapshots.Opt {
	labels := map[string]string{}
	if image != nil {
		labels[containerstore.LabelRefImage] = image.Digest.String()
	}
	if parent != "" {
		maps.Copy(labels, ids.ActiveLabels())
	}
	if !filled {
		labels[containerstore.LabelNoted] = "1"
	}
	return snapshots.WithLabels(labels)
}
