package snapshotter

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/diff/apply"
	"github.com/baleen-project/baleen/diff/idmap"
)

// labelRemapped is on a snapshot whose ids have been mapped: the one that it was
// made of.
const labelRemapped = "io.baleen.remapped"

// RemappedName is the name of the snapshot that [Remapped] makes of that of a
// chain: the chainID and the user and group that root is mapped to, and a digest
// of the mapping if that has more than one range. "" stays "".
func RemappedName(chain string, m idmap.Map) string {
	if chain == "" {
		return ""
	}
	name := chain + remapSuffix(m)
	if len(m.UIDs) == 1 && len(m.GIDs) == 1 {
		return name
	}
	uids, gids := m.Format()
	return name + "-" + digest.FromString(uids + " " + gids).Encoded()[:16]
}

func remapSuffix(m idmap.Map) string {
	uid, gid, err := idmap.Func(m.ToHost).Pair(0, 0)
	if err != nil {
		return "-none"
	}
	return fmt.Sprintf("-%d-%d", uid, gid)
}

// Remapped returns the name of a committed snapshot of a chain's files with
// mapped owners. It is made once, at a cost that follows the image, and kept as
// long as that of the chain. name is the snapshotter's.
//
// Files that belong to what root is mapped to stay root's: `COPY` of Moby's
// classic builder makes such in images that it builds under a mapping.
//
// The snapshot is committed when it is whole and on disk; what fails before, or
// is cut short, leaves none. One that somebody else makes at the same time is as
// good; within a process it is waited for. The caller holds a lease.
func Remapped(ctx context.Context, sn snapshots.Snapshotter, name, chain string, m idmap.Map) (string, error) {
	made := RemappedName(chain, m)
	if chain == "" {
		return "", nil
	}
	unlock, err := extracting.lock(ctx, digest.Digest(made))
	if err != nil {
		return "", err
	}
	defer unlock()
	if ok, err := exists(ctx, sn, digest.Digest(made)); ok || err != nil {
		return made, err
	}
	// The chain's snapshot refers to it, so that it stays without a container.
	key := "labels.containerd.io/gc.ref.snapshot." + name + "/remapped" + remapSuffix(m)
	ref := snapshots.Info{Name: chain, Labels: map[string]string{key[len("labels."):]: made}}
	if _, err := sn.Update(ctx, ref, key); err != nil {
		return "", fmt.Errorf("label snapshot %s: %w", chain, err)
	}
	if err := remapOnto(ctx, sn, made, chain, m); err != nil && !errdefs.IsAlreadyExists(err) {
		return "", fmt.Errorf("map ids of snapshot %s: %w", chain, err)
	}
	return made, nil
}

func remapOnto(ctx context.Context, sn snapshots.Snapshotter, name, chain string, m idmap.Map) (err error) {
	key := "remap-" + rand.Text() + " " + name
	defer func() {
		if err != nil { // it may be there even if it could not be made
			remove(ctx, sn, key)
		}
	}()
	mounts, err := sn.Prepare(ctx, key, chain)
	if err != nil {
		return err
	}
	err = apply.WriteMounted(ctx, mounts, func(root string) error { return remapMounted(ctx, root, toHost(m)) })
	if err != nil {
		return err
	}
	return sn.Commit(ctx, name, key, snapshots.WithLabels(map[string]string{labelRemapped: chain}))
}

func toHost(m idmap.Map) idmap.Func {
	return func(id uint32, of idmap.Kind) (uint32, error) {
		if root, err := m.ToHost(0, of); err == nil && root == id {
			return id, nil
		}
		return m.ToHost(id, of)
	}
}
