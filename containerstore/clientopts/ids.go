package clientopts

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/snapshotter"
)

// lookUpIDs finds out how the container's files come to ids of a user namespace. The
// labels of its snapshot say so, or the copy of the image that it stands on and the
// mapping of its spec.
func (p *clientContainer) lookUpIDs(ctx context.Context) (containerstore.IDs, error) {
	mounts, err := p.Snapshots.Mounts(ctx, p.active.Name)
	if err != nil {
		return containerstore.IDs{}, fmt.Errorf("look up mounts of %s: %w", p.active.Name, err)
	}
	m, labelled, err := snapshotter.MappedFromLabels(p.active.Labels)
	if err != nil {
		return containerstore.IDs{}, fmt.Errorf("read the mapping of snapshot %s: %w", p.active.Name, err)
	}
	if labelled {
		if p.active.Parent == "" || !m.Disjoint() || !snapshotter.AsksForMapping(mounts) {
			return containerstore.IDs{}, fmt.Errorf("snapshot %s has a mapping that is not made by mounting its layers: %w", p.active.Name, errdefs.ErrNotImplemented)
		}
		return containerstore.IDs{Way: containerstore.Mounted, Map: m}, nil
	}
	if m, err = specIDs(p.record.Spec); err != nil {
		return containerstore.IDs{}, err
	}
	return p.storedIDs(mounts, m)
}

// storedIDs is lookUpIDs of a container whose files have the ids that are stored. m
// is the mapping of its spec.
func (p *clientContainer) storedIDs(mounts []mount.Mount, m idmap.Map) (containerstore.IDs, error) {
	asStored, remapped := containerstore.IDs{}, containerstore.IDs{Way: containerstore.Remapped, Map: m}
	_, base := p.own(p.active)
	if chain, copied := remappedChain(base); copied {
		if len(m.UIDs) == 0 || len(m.GIDs) == 0 || !copyOf(base, chain, m) {
			return asStored, fmt.Errorf("snapshot %s has other ids than the mapping in its spec: %w", base, errdefs.ErrFailedPrecondition)
		}
		return remapped, nil
	}
	if m.Empty() {
		return asStored, nil
	}
	owned, err := ownsRoot(mounts, m)
	switch {
	case err != nil:
		return asStored, err
	case owned && base == "":
		return remapped, nil
	case owned:
		return asStored, fmt.Errorf("its files were given the ids of its user namespace in snapshot %s itself: %w", p.active.Name, errdefs.ErrNotImplemented)
	}
	return asStored, nil
}

// remappedChain returns the chain of a copy with mapped ids, by its name: that of
// [snapshotter.RemappedName] or of containerd's client.
func remappedChain(name string) (chain string, ok bool) {
	chain, _, ok = strings.Cut(name, "-")
	_, err := digest.Parse(chain)
	return chain, ok && err == nil
}

// copyOf reports whether a copy of a chain has a mapping. containerd's client names
// all mappings by the ids of root alone.
func copyOf(name, chain string, m idmap.Map) bool {
	if name == snapshotter.RemappedName(chain, m) {
		return true
	}
	uid, gid, err := idmap.Func(m.ToHost).Pair(0, 0)
	return err == nil && name == fmt.Sprintf("%s-%d-%d", chain, uid, gid)
}

// ownsRoot reports whether the root of the user namespace owns the root directory of
// an active snapshot.
func ownsRoot(mounts []mount.Mount, m idmap.Map) (bool, error) {
	dir := changes.WrittenDir(mounts)
	if dir == "" {
		return false, fmt.Errorf("its snapshot has no folder of its own: %w", errdefs.ErrNotImplemented)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return false, fmt.Errorf("look up the owner of %s: %w", dir, err)
	}
	root, err := m.ToHost(0, idmap.UserID)
	return err == nil && root != 0 && st.Uid == root, nil
}

// specIDs is the mapping of a runtime spec; an empty one if it has none or is of
// another kind.
func specIDs(spec interface{ GetValue() []byte }) (idmap.Map, error) {
	if spec == nil {
		return idmap.Map{}, nil
	}
	var s struct {
		Linux struct{ UIDMappings, GIDMappings []specs.LinuxIDMapping }
	}
	if json.Unmarshal(spec.GetValue(), &s) != nil {
		return idmap.Map{}, nil
	}
	m := idmap.Map{UIDs: ranges(s.Linux.UIDMappings), GIDs: ranges(s.Linux.GIDMappings)}
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return m, nil // of one kind alone no snapshot is made
	}
	uids, gids := m.Format()
	if _, err := idmap.Parse(uids, gids); err != nil {
		return m, fmt.Errorf("read the mapping in its spec: %w", err)
	}
	return m, nil
}

// onIDs returns the snapshot that the container can stand on for one of an image:
// that one, or a copy of it with the ids of the container.
func (p *clientContainer) onIDs(ctx context.Context, chain string, ids containerstore.IDs) (string, error) {
	switch {
	case ids.Way == containerstore.Remapped:
		return p.remapped(ctx, chain, ids.Map)
	case ids.Way == containerstore.Mounted && chain == "":
		return "", fmt.Errorf("an image without layers has no ids to map: %w", errdefs.ErrNotImplemented)
	}
	return chain, nil
}

// remapped returns the copy of an image's snapshot with mapped ids. It is made if it
// is not there. The lease in the context keeps it.
func (p *clientContainer) remapped(ctx context.Context, chain string, m idmap.Map) (string, error) {
	if chain == "" {
		return "", nil
	}
	// One that exists may be garbage, which its name in the lease prevents.
	if lease, ok := leases.FromContext(ctx); ok {
		copied := leases.Resource{ID: snapshotter.RemappedName(chain, m), Type: "snapshots/" + p.Snapshotter}
		if err := p.Leases.AddResource(ctx, leases.Lease{ID: lease}, copied); err != nil {
			return "", fmt.Errorf("keep snapshot %s: %w", copied.ID, err)
		}
	}
	return snapshotter.Remapped(ctx, p.Snapshots, p.Snapshotter, chain, m)
}

// sameIDs makes sure that the spec of a revision has the mapping by which the layers of
// the container are mounted: somebody may have changed it since.
func sameIDs(ids containerstore.IDs, spec interface{ GetValue() []byte }) error {
	m, err := specIDs(spec)
	if err != nil || m.Empty() || ids.Way == containerstore.AsStored {
		return err
	}
	if !reflect.DeepEqual(m, ids.Map) {
		return fmt.Errorf("its spec maps ids in another way than the container's files: %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}
