package imageservice

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

const (
	// labelOperation marks the leases of operations; its value is the verb.
	// Moby's own mark, moby/prune.images, is not set: `docker image prune`
	// deletes every lease that carries it, also those in use.
	labelOperation = "io.baleen.operation"
	// labelOwner holds the id of the daemon whose operation it is: others on
	// the same containerd do not sweep it.
	labelOwner = "io.baleen.owner"
	// labelPauses is on the leases of commits that pause their container.
	labelPauses = "io.baleen.pauses"
	// labelObject names what the operation works on.
	labelObject = "io.baleen.object"

	// leaseNet is how long a lease lives at most if neither its operation nor
	// the sweep of a later start removes it, because the daemon crashed and
	// was replaced by another. It is no limit on an operation: none runs a
	// week.
	leaseNet = 7 * 24 * time.Hour

	// cleanupTimeout bounds cleaning up after a request that was cancelled.
	cleanupTimeout = 30 * time.Second
)

// lease starts an operation on an object: it returns a context under which
// containerd keeps all that the operation creates, and the function that ends
// it. The context ends when the daemon shuts down as well. The caller defers end with its
// error: after a failure, end also has containerd collect at once what the operation
// had created.
func (s *Service) lease(ctx context.Context, verb, object string) (_ context.Context, end func(error), err error) {
	labels := map[string]string{labelOperation: verb, labelObject: object, labelOwner: s.owner}
	if pauses(ctx) {
		labels[labelPauses] = "1"
	}
	l := leases.Lease{ID: "baleen-" + rand.Text()}
	s.operations.begin(l.ID, object)
	if _, err := s.leases.Create(ctx, leases.WithID(l.ID), leases.WithExpiration(leaseNet), leases.WithLabels(labels)); err != nil {
		// It may be there even so: containerd can fail after it has made it.
		if s.unhold(ctx, l) == nil {
			s.operations.end(l.ID)
		} else {
			go s.deleteLater(ctx, l)
		}
		return nil, nil, fmt.Errorf("create lease: %w", err)
	}
	ctx, done := s.life.begin(ctx)
	end = func(failure error) {
		defer done()
		ctx, cancel := cleanup(ctx)
		defer cancel()
		var opts []leases.DeleteOpt
		if failure != nil {
			opts = append(opts, leases.SynchronousDelete)
		}
		if err := s.leases.Delete(ctx, l, opts...); err != nil && !errdefs.IsNotFound(err) {
			log.G(ctx).WithError(err).WithFields(log.Fields{"lease": l.ID, "operation": verb, "object": object}).
				Warn("could not delete the lease of an operation; trying again")
			go s.deleteLater(ctx, l)
			return
		}
		s.operations.end(l.ID)
	}
	return leases.WithLease(ctx, l.ID), end, nil
}

// deleteLater goes on trying to delete a lease. What it does not get done is
// for the sweep at the next start.
func (s *Service) deleteLater(ctx context.Context, l leases.Lease) {
	defer s.operations.end(l.ID)
	err := later(ctx, func(ctx context.Context) error {
		err := s.leases.Delete(ctx, l, leases.SynchronousDelete)
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		log.G(ctx).WithError(err).WithField("lease", l.ID).Error("gave up deleting the lease of an operation; it is removed at the next start")
	}
}

// later does again and again what has failed, for a minute, also after ctx has
// ended: containerd may be starting again.
func later(ctx context.Context, do func(context.Context) error) (err error) {
	for wait := 500 * time.Millisecond; wait < time.Minute; wait *= 2 {
		time.Sleep(wait)
		ctx, cancel := cleanup(ctx)
		err = do(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// keep puts what exists already under the lease in ctx.
func (s *Service) keep(ctx context.Context, resource leases.Resource) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return fmt.Errorf("keep %s %s: %w: no lease", resource.Type, resource.ID, errdefs.ErrFailedPrecondition)
	}
	if err := s.leases.AddResource(ctx, leases.Lease{ID: id}, resource); err != nil {
		return fmt.Errorf("keep %s %s: %w", resource.Type, resource.ID, err)
	}
	return nil
}

// keepSnapshot is keep for a snapshot, which need not exist yet.
func (s *Service) keepSnapshot(ctx context.Context, name string) error {
	return s.keep(ctx, s.snapshotResource(name))
}

// snapshotResource is a snapshot of the daemon's snapshotter, for a lease to hold.
func (s *Service) snapshotResource(name string) leases.Resource {
	return leases.Resource{ID: name, Type: "snapshots/" + s.snapshotter}
}

// ownLeases are the leases of this daemon's operations.
func (s *Service) ownLeases(ctx context.Context) ([]leases.Lease, error) {
	return s.leases.List(ctx, fmt.Sprintf("labels.%q,labels.%q==%q", labelOperation, labelOwner, s.owner))
}

// sweep deletes the leases of this daemon's operations that a crash cut short.
// None can be under way: the service has just been made.
func (s *Service) sweep(ctx context.Context) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	found, err := s.ownLeases(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not look for what interrupted operations left behind")
		return
	}
	for _, l := range found {
		logger := log.G(ctx).WithFields(log.Fields{"lease": l.ID, "operation": l.Labels[labelOperation], "object": l.Labels[labelObject]})
		if l.Labels[labelPauses] != "" {
			s.interrupted = append(s.interrupted, l.Labels[labelObject])
			// While it stands still the lease says so, to the next start too.
			if err := s.thawFrozen(ctx, l.Labels[labelObject]); err != nil && !errdefs.IsNotFound(err) {
				logger.WithError(err).Error("could not thaw the container after an interrupted commit; restart the daemon to try again")
				continue
			}
		}
		if err := s.leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			logger.WithError(err).Warn("could not remove what an interrupted operation left behind")
			continue
		}
		logger.Info("removed what an interrupted operation left behind")
	}
}

// cleanup returns a context for undoing work also after ctx has ended.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
