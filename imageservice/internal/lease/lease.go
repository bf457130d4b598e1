package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	storelease "github.com/baleen-project/baleen/containerstore/lease"
)

const (
	// leaseNet is how long a lease lives at most if neither its operation nor
	// the sweep of a later start removes it, because the daemon crashed and
	// was replaced by another. It is no limit on an operation: none runs a
	// week.
	leaseNet = 7 * 24 * time.Hour

	// CleanupTimeout bounds cleaning up after a request that was cancelled.
	CleanupTimeout = 30 * time.Second
)

// Operations are the operations of a daemon that are under way. The lease of an operation
// that is not among them is a leak.
type Operations struct {
	leases leases.Manager
	owner  string // the id of the daemon
	life   *life

	mu      sync.Mutex
	objects map[string]string // by lease: what the operation works on
	watches map[*Watch]struct{}
}

// New returns the operations of the daemon with the id owner: none.
func New(manager leases.Manager, owner string) *Operations {
	return &Operations{leases: manager, owner: owner, life: newLife(), objects: map[string]string{}, watches: map[*Watch]struct{}{}}
}

// Begin starts an operation on an object: it returns a context under which
// containerd keeps all that the operation creates, and the function that ends
// it. The context ends when the daemon shuts down as well. The caller defers end with its
// error: after a failure, end also has containerd collect at once what the operation
// had created. pauses says that the operation may freeze the container that is its object.
func (o *Operations) Begin(ctx context.Context, verb, object string, pauses bool) (_ context.Context, end func(error), err error) {
	labels := map[string]string{storelease.LabelOperation: verb, storelease.LabelObject: object, storelease.LabelOwner: o.owner}
	if pauses {
		labels[storelease.LabelPauses] = "1"
	}
	l := storelease.New()
	o.Note(l.ID, object)
	request := ctx
	ctx, err = storelease.Create(ctx, o.leases, l, leaseNet, labels)
	if err != nil {
		if o.Delete(request, l) == nil {
			o.Forget(l.ID)
		} else {
			go o.DeleteLater(request, l)
		}
		return nil, nil, err
	}
	ctx, done := o.life.begin(ctx)
	end = func(failure error) {
		defer done()
		if err := storelease.Delete(ctx, o.leases, l, failure); err != nil {
			log.G(ctx).WithError(err).WithFields(log.Fields{"lease": l.ID, "operation": verb, "object": object}).
				Warn("could not delete the lease of an operation; trying again")
			go o.DeleteLater(ctx, l)
			return
		}
		o.Forget(l.ID)
	}
	return ctx, end, nil
}

// DeleteLater goes on trying to delete a lease. What it does not get done is
// for the sweep at the next start.
func (o *Operations) DeleteLater(ctx context.Context, l leases.Lease) {
	defer o.Forget(l.ID)
	err := Retry(ctx, func(ctx context.Context) error {
		return storelease.Delete(ctx, o.leases, l, errAbandoned)
	})
	if err != nil {
		log.G(ctx).WithError(err).WithField("lease", l.ID).Error("gave up deleting the lease of an operation; it is removed at the next start")
	}
}

// errAbandoned has containerd collect at once what the lease held.
var errAbandoned = errors.New("the lease of an operation was left")

// Retry does again and again what has failed, for a minute, also after ctx has
// ended: containerd may be starting again.
func Retry(ctx context.Context, do func(context.Context) error) (err error) {
	for wait := 500 * time.Millisecond; wait < time.Minute; wait *= 2 {
		time.Sleep(wait)
		ctx, cancel := Cleanup(ctx)
		err = do(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// Keep puts what exists already under the lease in ctx.
func (o *Operations) Keep(ctx context.Context, resource leases.Resource) error {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return fmt.Errorf("keep %s %s: %w: no lease", resource.Type, resource.ID, errdefs.ErrFailedPrecondition)
	}
	if err := o.leases.AddResource(ctx, leases.Lease{ID: id}, resource); err != nil {
		return fmt.Errorf("keep %s %s: %w", resource.Type, resource.ID, err)
	}
	return nil
}

// KeepBlob is Keep for a blob.
func (o *Operations) KeepBlob(ctx context.Context, dgst digest.Digest) error {
	return o.Keep(ctx, leases.Resource{ID: dgst.String(), Type: "content"})
}

// Delete deletes a lease, also after ctx has ended. It need not exist.
func (o *Operations) Delete(ctx context.Context, l leases.Lease) error {
	return storelease.Delete(ctx, o.leases, l, nil)
}

// Cleanup returns a context for undoing work also after ctx has ended.
func Cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), CleanupTimeout)
}
