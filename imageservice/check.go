package imageservice

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	storelease "github.com/baleen-project/baleen/containerstore/lease"
	"github.com/baleen-project/baleen/imageservice/check"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Check looks for what is wrong with what the daemon has in containerd, and repairs
// what can be repaired if it is asked to. Package check says what it looks for. folder
// is where the daemon keeps a folder of each container, named by the id.
func (s *Service) Check(ctx context.Context, containers check.Containers, folder string, req api.CheckRequest) (api.CheckReport, error) {
	report, err := check.Run(ctx, check.Config{
		Containers: containers, Folder: folder, Roots: s.roots, TempMounts: s.tempMounts,
		Snapshotter: s.files.Snapshotter, Snapshots: s.files.Snapshots(""), Content: s.files.Content, Images: s.images, Leases: s.files.Leases,
		Service: checked{s},
	}, req)
	if err != nil {
		return api.CheckReport{}, compat.DockerError(fmt.Errorf("check: %w", err))
	}
	return report, nil
}

// checked is a service for a check of it.
type checked struct{ s *Service }

// OwnLeases lists the leases of the daemon's operations.
func (c checked) OwnLeases(ctx context.Context) ([]check.Lease, error) {
	found, err := c.s.files.Operations.Leases(ctx)
	own := make([]check.Lease, len(found))
	for i, l := range found {
		own[i] = check.Lease{ID: l.ID, Verb: l.Labels[storelease.LabelOperation], Object: l.Labels[storelease.LabelObject], Pauses: l.Labels[storelease.LabelPauses] != ""}
	}
	return own, err
}

func (c checked) IsUnderWay(lease string) bool    { return c.s.files.Operations.IsUnderWay(lease) }
func (c checked) UnderWay() []string              { return c.s.files.Operations.UnderWay() }
func (c checked) Watch(object string) check.Watch { return c.s.files.Operations.Watch(object) }

func (c checked) Mounts(id string) (now, ever int) {
	m := c.s.files.Locks.Mounts(id)
	return m.Now, m.Ever
}

func (c checked) Complete(ctx context.Context, target ocispec.Descriptor) error {
	return c.s.complete(ctx, target)
}

func (c checked) UnknownBlobs(ctx context.Context) (map[digest.Digest]int64, error) {
	return c.s.blobs.Unknown(ctx)
}

func (c checked) CollectBlobs(ctx context.Context) error { return c.s.blobs.Collect(ctx) }

// lookPatience is how long is waited for a container whose files are being moved.
const lookPatience = 2 * time.Second

// Look calls look with the history of a container whose files do not move meanwhile.
func (c checked) Look(ctx context.Context, id string, look func(*containerstore.History) error) error {
	lock := c.s.files.Locks.Of(id)
	for deadline := time.Now().Add(lookPatience); !lock.TryRLock(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("the files of container %s are being moved: %w", id, errdefs.ErrConflict)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	defer lock.RUnlock()
	return look(c.s.files.History(id, ""))
}

// Settle completes or takes back what was cut short of a container's operations, as a
// move of it does before anything else. The container is loaded again before it is next
// used: its record may say something else than its files are then.
func (c checked) Settle(ctx context.Context, ctr *moby.Container) (err error) {
	end, err := c.s.files.Locks.Take(ctr.ID)
	if err != nil {
		return err
	}
	defer end()
	ctx, release, err := c.s.files.Operations.Begin(ctx, "check", ctr.ID, false)
	if err != nil {
		return err
	}
	defer func() { release(err) }()
	h := c.s.files.History(ctr.ID, ctr.Driver)
	return c.s.files.WhileIdle(ctx, ctr, h, func() error {
		if c.s.files.Locks.Readers(ctr.ID) > 0 {
			return fmt.Errorf("a commit or diff of it is under way: %w", errdefs.ErrConflict)
		}
		c.s.files.NoteCut(ctr.ID)
		return h.Recover(ctx)
	})
}

// Hold has the lease of a container hold one of its snapshots. undo takes back that, and
// nothing else.
func (c checked) Hold(ctx context.Context, id, snapshot string) (undo func() error, err error) {
	var made bool
	err = c.Look(ctx, id, func(*containerstore.History) (err error) {
		if _, err = c.s.files.Snapshots("").Stat(ctx, snapshot); err == nil {
			made, err = c.s.layers.Hold(ctx, id, snapshot)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l := leases.Lease{ID: id}
	if made {
		return func() error { return c.s.files.Operations.Delete(ctx, l) }, nil
	}
	return func() error {
		ctx, cancel := lease.Cleanup(ctx)
		defer cancel()
		if err := c.s.files.Leases.DeleteResource(ctx, l, c.s.files.Resource(snapshot)); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("release snapshot %s: %w", snapshot, err)
		}
		return nil
	}, nil
}
