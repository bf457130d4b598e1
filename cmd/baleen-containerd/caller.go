package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	c8ddiff "github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baleen-project/baleen/compat/version"
	"github.com/baleen-project/baleen/containerstore/lease"
)

const (
	operationDiff     = "diff"
	operationHandover = "handover"

	// leaseNet is how long a lease lives at most if this process is killed
	// before it removes it, and not started again. containerd gives what is
	// being written into its content store without a lease as long.
	leaseNet = 24 * time.Hour
	// handover is how long a layer is held after the answer, for the caller to
	// put it into an image.
	handover = 10 * time.Minute
	// cleanupTimeout bounds what is done after a request has ended.
	cleanupTimeout = 10 * time.Second
)

// forCaller makes calls to containerd on behalf of a request work in the
// request's namespace.
func forCaller(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if ns, ok := namespaces.Namespace(ctx); ok {
		ctx = namespaces.WithNamespace(ctx, ns)
	}
	began := time.Now()
	if err := understood(req); err != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("%s: %w", info.FullMethod, err))
	}
	answer, err := survive(ctx, req, info, handler)
	log.G(ctx).WithError(err).WithFields(log.Fields{"method": info.FullMethod, "d": time.Since(began)}).Trace("answered")
	return answer, err
}

// understood refuses a request to change snapshots that has fields of a newer
// interface. To pass over them would be silently wrong: a Commit onto another parent,
// which containerd 2.2 has for snapshotters that announce "rebase", would keep the old
// one. Requests of the differ may have more, for they say how, and not what.
func understood(req any) error {
	switch r := req.(type) {
	case *snapshotsapi.PrepareSnapshotRequest, *snapshotsapi.ViewSnapshotRequest, *snapshotsapi.CommitSnapshotRequest,
		*snapshotsapi.UpdateSnapshotRequest, *snapshotsapi.RemoveSnapshotRequest:
		if unknown := r.(proto.Message).ProtoReflect().GetUnknown(); len(unknown) > 0 {
			number, _, _ := protowire.ConsumeTag(unknown)
			return fmt.Errorf("the request has field %d, which baleen-containerd %s does not know: %w", number, version.Version, errdefs.ErrNotImplemented)
		}
	}
	return nil
}

// survive keeps a request that makes its handler panic from ending all others:
// containerd's does, if a message has no descriptor in it for example.
func survive(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(ctx, info.FullMethod, p)
		}
	}()
	return handler(ctx, req)
}

// surviveStream is survive for requests whose answer is a stream.
func surviveStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(stream.Context(), info.FullMethod, p)
		}
	}()
	return handler(srv, stream)
}

// panicked logs where a request panicked, and returns the answer to it.
func panicked(ctx context.Context, method string, p any) error {
	log.G(ctx).WithFields(log.Fields{"method": method, "stack": string(debug.Stack())}).Errorf("recovered from a panic in a request: %v", p)
	return status.Errorf(codes.Internal, "%s: panic: %v", method, p)
}

// holder has containerd keep the layers that a comparer makes. containerd passes
// a request's namespace on to its plugins, but not its lease: without one of our
// own a layer could be collected before its image exists, and nobody tells us
// when it does.
type holder struct {
	c8ddiff.Comparer
	leases leases.Manager
	owner  string // of the leases

	mu      sync.Mutex
	swept   map[string]bool // namespaces
	working map[string]bool // ids of leases of comparisons that are under way
}

func newHolder(comparer c8ddiff.Comparer, manager leases.Manager, owner string) *holder {
	return &holder{Comparer: comparer, leases: manager, owner: owner, swept: map[string]bool{}, working: map[string]bool{}}
}

// Compare is the comparer's, with a lease. The layer lives for handover at least.
func (h *holder) Compare(ctx context.Context, lower, upper []mount.Mount, opts ...c8ddiff.Opt) (desc ocispec.Descriptor, err error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return desc, err
	}
	h.sweep(ctx, namespace)
	working := newLease()
	h.begin(working)
	defer h.end(ctx, working, namespace)
	if err := h.create(ctx, working, operationDiff, leaseNet); err != nil {
		return desc, err
	}
	desc, err = h.Comparer.Compare(leases.WithLease(ctx, working.ID), lower, upper, opts...)
	if err != nil {
		return desc, err
	}
	keeping := newLease()
	if err = h.create(ctx, keeping, operationHandover, handover); err == nil {
		err = h.leases.AddResource(ctx, keeping, leases.Resource{ID: desc.Digest.String(), Type: "content"})
	}
	if err != nil {
		return desc, fmt.Errorf("hold layer %s: %w", desc.Digest, err)
	}
	return desc, nil
}

func newLease() leases.Lease { return leases.Lease{ID: "baleen-" + rand.Text()} }

func (h *holder) create(ctx context.Context, l leases.Lease, purpose string, life time.Duration) error {
	_, err := h.leases.Create(ctx, leases.WithID(l.ID), leases.WithExpiration(life),
		leases.WithLabels(map[string]string{lease.LabelOperation: purpose, lease.LabelOwner: h.owner}))
	if err != nil {
		return fmt.Errorf("create lease: %w", err)
	}
	return nil
}

// sweep deletes the leases of work that a killed predecessor of this process was
// at, before the first of our own in a namespace: containerd may not be there
// when we start. If it is not there then either, or when a lease was to be
// deleted, that is for the next; our own work may be under way by then. What
// they held containerd collects.
func (h *holder) sweep(ctx context.Context, namespace string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.swept[namespace] {
		return
	}
	found, err := h.leases.List(ctx, fmt.Sprintf("labels.%q==%q,labels.%q==%q", lease.LabelOperation, operationDiff, lease.LabelOwner, h.owner))
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not look for what an interrupted comparison left behind")
		return
	}
	h.swept[namespace] = true
	for _, l := range found {
		if h.working[l.ID] {
			continue
		}
		log.G(ctx).WithField("lease", l.ID).Info("removing what an interrupted comparison left behind")
		if h.remove(ctx, l) != nil {
			h.swept[namespace] = false
		}
	}
}

func (h *holder) begin(l leases.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.working[l.ID] = true
}

func (h *holder) end(ctx context.Context, l leases.Lease, namespace string) {
	err := h.remove(ctx, l)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.working, l.ID)
	if err != nil {
		h.swept[namespace] = false
	}
}

func (h *holder) remove(ctx context.Context, l leases.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := h.leases.Delete(ctx, l)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("lease", l.ID).Warn("could not delete the lease of an operation; the next one tries again, and it expires within a day")
	}
	return err
}
