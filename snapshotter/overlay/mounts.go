package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
)

const (
	// maxLowers is how many lower folders an overlay can have: OVL_MAX_STACK in
	// the kernel's fs/overlayfs/params.h.
	maxLowers = 500
	// spare is room in the page of mount options for what others add, such as
	// SELinux's context.
	spare = 256
)

// mounts returns how to mount a snapshot: an active or a view, whose records
// are given.
func (s *Snapshotter) mounts(sn storage.Snapshot, info snapshots.Info) ([]mount.Mount, error) {
	options := s.mapOptions(info.Labels)
	switch below := len(sn.ParentIDs); {
	case below == 0 && sn.Kind == snapshots.KindActive:
		return bind(s.upper(sn.ID), append(options, "rw")), nil
	case below == 0:
		return bind(s.upper(sn.ID), append(options, "ro")), nil
	case below == 1 && sn.Kind == snapshots.KindView:
		return bind(s.upper(sn.ParentIDs[0]), append(options, "ro")), nil
	}
	if sn.Kind == snapshots.KindActive {
		options = append(options, "workdir="+s.work(sn.ID), "upperdir="+s.upper(sn.ID))
	}
	lowers, err := s.lowers(sn.ParentIDs, size(options)+size(s.options))
	if err != nil {
		return nil, err
	}
	options = append(options, "lowerdir="+strings.Join(lowers, ":"))
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: append(options, s.options...)}}, nil
}

func bind(folder string, options []string) []mount.Mount {
	return []mount.Mount{{Type: "bind", Source: folder, Options: append(options, "rbind")}}
}

// mapOptions are for containerd's package mount, which maps the ids of what is
// below and does not pass them on to the kernel.
func (s *Snapshotter) mapOptions(labels map[string]string) (options []string) {
	if !s.remaps {
		return nil
	}
	if m, ok := labels[snapshots.LabelSnapshotUIDMapping]; ok {
		options = append(options, "uidmap="+m)
	}
	if m, ok := labels[snapshots.LabelSnapshotGIDMapping]; ok {
		options = append(options, "gidmap="+m)
	}
	return options
}

// lowers returns the folders of snapshots, topmost first, by names with which
// they fit into a mount's options beside others of a size.
//
// The options are one page. Package mount changes into the lowers' common
// directory if they do not fit, so what counts are the names from there on.
// If these are too long even so, short names are used for all but the topmost:
// that is the one that others may want to exchange for another.
func (s *Snapshotter) lowers(ids []string, others int) ([]string, error) {
	if len(ids) > maxLowers {
		return nil, fmt.Errorf("%d layers below, the kernel mounts up to %d: %w", len(ids), maxLowers, errdefs.ErrFailedPrecondition)
	}
	limit := os.Getpagesize() - 1 - spare - others - len("lowerdir=")
	names, needs := make([]string, len(ids)), 0
	for i, id := range ids {
		names[i] = s.upper(id)
		needs += len(id) + len("/fs:")
	}
	if needs <= limit {
		return names, nil
	}
	needs = len("snapshots/:") + len(ids[0]) + len("/fs:")
	for i, id := range ids[1:] {
		short := shortName(id)
		names[i+1] = filepath.Join(s.links(), short)
		needs += len("l/") + len(short) + len(":")
	}
	if needs > limit {
		return nil, fmt.Errorf("the names of %d layers below are %d bytes long, of which %d fit into a mount's options: %w", len(ids), needs, limit, errdefs.ErrFailedPrecondition)
	}
	return names, s.link(ids[1:])
}

// link makes the short names of snapshots. Remove takes them away.
func (s *Snapshotter) link(ids []string) error {
	for _, id := range ids {
		err := os.Symlink("../snapshots/"+id+"/fs", filepath.Join(s.links(), shortName(id)))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make short name: %w", err)
		}
	}
	return nil
}

// shortName has four letters for the first 14 million ids.
func shortName(id string) string {
	return new(big.Int).SetUint64(number(id)).Text(62)
}

func idOfShortName(name string) (string, bool) {
	n, ok := new(big.Int).SetString(name, 62)
	if !ok || !n.IsUint64() {
		return "", false
	}
	return n.String(), true
}

// size of options with a comma behind each.
func size(options []string) (n int) {
	for _, o := range options {
		n += len(o) + 1
	}
	return n
}
