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

// New returns a lease that does not exist yet, with a name of its own.
func New() leases.Lease { return leases.Lease{ID: "baleen-" + rand.Text()} }

// Create makes a lease of an operation. It returns a context under which containerd keeps
// what the operation makes. If nobody deletes the lease, because the process has ended, it
// expires after life. After an error it may be there: containerd can fail after it has made
// it, and the caller deletes it.
func Create(ctx context.Context, manager leases.Manager, l leases.Lease, life time.Duration, labels map[string]string) (context.Context, error) {
	if _, err := manager.Create(ctx, leases.WithID(l.ID), leases.WithExpiration(life), leases.WithLabels(labels)); err != nil {
		return nil, fmt.Errorf("create lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), nil
}

// Begin makes a lease for an operation, and returns its context as Create does and the
// function that deletes it, see [Delete].
func Begin(ctx context.Context, manager leases.Manager, life time.Duration, labels map[string]string) (_ context.Context, end func(failure error) error, _ error) {
	l := New()
	under, err := Create(ctx, manager, l, life, labels)
	end = func(failure error) error { return Delete(ctx, manager, l, failure) }
	if err != nil {
		return nil, nil, errors.Join(err, end(err))
	}
	return under, end, nil
}

// Delete deletes the lease of an operation, also after ctx has ended, and tries again once:
// containerd may be busy. The lease need not exist. After a failure of the operation
// containerd collects at once what that has made.
func Delete(ctx context.Context, manager leases.Manager, l leases.Lease, failure error) error {
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
