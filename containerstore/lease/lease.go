package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// Labels of the leases of operations. Moby's own mark, moby/prune.images, is not among
// them: `docker image prune` deletes every lease that has it, also those in use.
const (
	// LabelOperation has the verb of the operation. Its presence marks a lease of ours.
	LabelOperation = "io.baleen.operation"
	// LabelObject names what the operation works on.
	LabelObject = "io.baleen.object"
	// LabelOwner has the id of the daemon whose operation it is: other daemons on the
	// same containerd do not delete the lease.
	LabelOwner = "io.baleen.owner"
	// LabelPauses is on the leases of operations that may freeze their container.
	LabelPauses = "io.baleen.pauses"
)

// cleanupTimeout bounds deleting a lease, which is also done after the caller's context
// has ended.
const cleanupTimeout = 30 * time.Second

// Begin makes a lease for an operation. It returns a context under which containerd
// keeps what the operation makes, and the function that deletes the lease. After a
// failure, which that function is given, containerd collects at once what the operation
// has made. Nobody deletes the lease if the process ends before: it expires after life.
func Begin(ctx context.Context, manager leases.Manager, life time.Duration, labels map[string]string) (_ context.Context, end func(failure error) error, _ error) {
	l := leases.Lease{ID: "baleen-" + rand.Text()}
	end = func(failure error) error { return remove(ctx, manager, l, failure) }
	if _, err := manager.Create(ctx, leases.WithID(l.ID), leases.WithExpiration(life), leases.WithLabels(labels)); err != nil {
		// containerd can fail after it has made it.
		return nil, nil, errors.Join(fmt.Errorf("create lease: %w", err), end(err))
	}
	return leases.WithLease(ctx, l.ID), end, nil
}

// remove deletes a lease, and tries again once: containerd may be busy.
func remove(ctx context.Context, manager leases.Manager, l leases.Lease, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var opts []leases.DeleteOpt
	if failure != nil {
		opts = append(opts, leases.SynchronousDelete)
	}
	err := manager.Delete(ctx, l, opts...)
	if err != nil && !errdefs.IsNotFound(err) {
		err = manager.Delete(ctx, l, opts...)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete lease %s: %w", l.ID, err)
	}
	return nil
}
