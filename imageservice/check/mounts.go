package check

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// mounts looks for mounts that nobody uses, in the mount namespace of the daemon.
func (k *checker) mounts(ctx context.Context) error {
	if err := k.roots(ctx); err != nil {
		return err
	}
	return k.temporary(ctx)
}

// mountsIn lists the mounts whose mount points are in a folder.
func mountsIn(folder string) ([]*mountinfo.Info, error) {
	if folder == "" {
		return nil, nil
	}
	resolved, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, nil //nolint:nilerr // nothing was ever mounted in it
	}
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) { return filepath.Dir(i.Mountpoint) != resolved, false })
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return infos, nil
}

// isMounted reports whether a mount is still there: its number is not given to another
// one at the same place.
func isMounted(folder string, m *mountinfo.Info) (bool, error) {
	infos, err := mountsIn(folder)
	return slices.ContainsFunc(infos, func(i *mountinfo.Info) bool { return i.ID == m.ID && i.Mountpoint == m.Mountpoint }), err
}

// roots looks at the mounted roots of containers and image mounts.
func (k *checker) roots(ctx context.Context) error {
	infos, err := mountsIn(k.Roots)
	if err != nil {
		return err
	}
	k.report.Looked.Mounts += len(infos)
	for _, m := range infos {
		why, err := k.unused(ctx, filepath.Base(m.Mountpoint))
		if err != nil {
			return err
		}
		if why == nil {
			continue
		}
		here, err := isMounted(k.Roots, m)
		if err != nil {
			return err
		}
		text, err := why()
		if err != nil {
			return err
		}
		if here && text != "" {
			k.found(ctx, api.Finding{
				Kind: api.FindingMount, Object: m.Mountpoint, Container: filepath.Base(m.Mountpoint), Text: text,
				Help: "stop the daemon, unmount it with umount, and start the daemon",
			}, nil)
		}
	}
	return nil
}

// unused says why a mounted root seems to be of no use: what it returns says whether that
// has been so all the time. It is nil if the root may be in use.
func (k *checker) unused(ctx context.Context, name string) (why func() (string, error), _ error) {
	lacksSnapshot := func() (string, error) {
		_, err := k.Snapshots.Stat(ctx, name)
		if errdefs.IsNotFound(err) {
			return "it is the root of a container that has no files any more", nil
		}
		return "", err
	}
	text, err := lacksSnapshot()
	if err != nil {
		return nil, fmt.Errorf("look up snapshot %s: %w", name, err)
	}
	c := k.Containers.Get(name)
	if text != "" {
		if c != nil { // its files are being moved, or that is a finding of its own
			return nil, nil
		}
		return lacksSnapshot, nil
	}
	now, ever := k.Service.Mounts(name)
	if c == nil || now > 0 || !k.isStopped(ctx, c) {
		return nil, nil
	}
	return func() (string, error) {
		if stillNow, stillEver := k.Service.Mounts(name); stillNow > 0 || stillEver != ever || !k.isStopped(ctx, c) {
			return "", nil
		}
		return "it is the root of a container that does not run, and nobody has mounted it", nil
	}, nil
}

// isStopped reports whether it is known that a container does not run, and is not being
// removed.
func (k *checker) isStopped(ctx context.Context, c *moby.Container) bool {
	here, _ := k.isHere(ctx, c)
	stopped, _ := ask(ctx, c, func() bool { return !c.State.Running })
	return here && stopped
}

// buildLeases are those of BuildKit's work, which ends with them. See MakeTemporary in
// its package util/leaseutil.
const buildLeases = `labels."buildkit/lease.temporary"`

// makers are the leases of all that may have made temporary mounts: the operations that
// are under way, and builds. BuildKit mounts what it packs, in the same folder.
func (k *checker) makers(ctx context.Context) ([]string, error) {
	makers := k.Service.UnderWay()
	builds, err := k.Leases.List(ctx, buildLeases)
	if err != nil {
		return nil, fmt.Errorf("list the leases of builds: %w", err)
	}
	for _, l := range builds {
		makers = append(makers, l.ID)
	}
	return makers, nil
}

// makersEnded waits until all makers have ended that there are, and reports false if some
// did not.
func (k *checker) makersEnded(ctx context.Context) (bool, error) {
	makers, err := k.makers(ctx)
	if err != nil {
		return false, err
	}
	return again(ctx, func() (bool, error) {
		now, err := k.makers(ctx)
		return !slices.ContainsFunc(makers, func(m string) bool { return slices.Contains(now, m) }), err
	})
}

// temporary looks at the mounts that operations and builds make, and unmount before they
// end.
func (k *checker) temporary(ctx context.Context) error {
	infos, err := mountsIn(k.TempMounts)
	if err != nil || len(infos) == 0 {
		return err
	}
	k.report.Looked.Mounts += len(infos)
	done, err := k.makersEnded(ctx) // one of these may have made them
	if err != nil || !done {
		return err
	}
	for _, m := range infos {
		here, err := isMounted(k.TempMounts, m)
		if err != nil {
			return err
		}
		if here {
			k.found(ctx, api.Finding{
				Kind: api.FindingMount, Object: m.Mountpoint,
				Text: "it is a temporary mount, and the operation that made it has ended",
				Help: "restart the daemon, which unmounts it",
			}, nil)
		}
	}
	return nil
}
