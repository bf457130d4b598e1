package lease

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	storelease "github.com/baleen-project/baleen/containerstore/lease"
)

// Leases returns the leases of this daemon's operations, also of those that a crash cut
// short.
func (o *Operations) Leases(ctx context.Context) ([]leases.Lease, error) {
	return o.leases.List(ctx, fmt.Sprintf("labels.%q,labels.%q==%q", storelease.LabelOperation, storelease.LabelOwner, o.owner))
}

// Sweep deletes the leases of this daemon's operations that a crash cut short. None can be
// under way. Before the lease of one that may have frozen its container goes, thaw lets the
// container go on. Sweep returns the ids of those containers.
func (o *Operations) Sweep(ctx context.Context, thaw func(ctx context.Context, id string) error) (interrupted []string) {
	ctx, cancel := Cleanup(ctx)
	defer cancel()
	found, err := o.Leases(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not look for what interrupted operations left behind")
		return nil
	}
	for _, l := range found {
		logger := log.G(ctx).WithFields(log.Fields{"lease": l.ID, "operation": l.Labels[storelease.LabelOperation], "object": l.Labels[storelease.LabelObject]})
		if l.Labels[storelease.LabelPauses] != "" {
			interrupted = append(interrupted, l.Labels[storelease.LabelObject])
			// While it stands still the lease says so, to the next start too.
			if err := thaw(ctx, l.Labels[storelease.LabelObject]); err != nil && !errdefs.IsNotFound(err) {
				logger.WithError(err).Error("could not thaw the container after an interrupted commit; restart the daemon to try again")
				continue
			}
		}
		if err := o.Delete(ctx, l); err != nil {
			logger.WithError(err).Warn("could not remove what an interrupted operation left behind")
			continue
		}
		logger.Info("removed what an interrupted operation left behind")
	}
	return interrupted
}
