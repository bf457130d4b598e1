package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/diffservice"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/coreos/go-systemd/v22/daemon"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/compat/version"
	"github.com/baleen-project/baleen/diff/differ"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// endPatience is how long requests that are under way may take to end.
const endPatience = 10 * time.Second

// serve opens the root, and answers requests until ctx ends.
func serve(ctx context.Context, o options) (err error) {
	// First of all: a root that is refused stays as it is.
	if err := overlay.CheckOwn(o.root); err != nil {
		return err
	}
	unlock, err := lockRoot(o.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	sn, err := overlay.New(o.root) //nolint:contextcheck // repairing what a crash left is not to be cut short
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sn.Close()) }()
	client, err := containerd.New(o.containerd)
	if err != nil {
		return fmt.Errorf("prepare to call containerd at %s: %w", o.containerd, err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	conn, ok := client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return fmt.Errorf("connect to containerd: unexpected connection type %T: %w", client.Conn(), errdefs.ErrNotImplemented)
	}
	var callers *guard
	if !o.anyCaller {
		if callers, err = newGuard(o.root, o.containerd, introspector{introspection.NewIntrospectionClient(conn)}); err != nil {
			return err
		}
	}
	listener, err := listen(o.address)
	if err != nil {
		return err
	}
	server := newServer(callers)
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(sn))
	d := differ.New(client.ContentStore(), differ.Options{Remote: true, Limit: o.limit})
	diffapi.RegisterDiffServer(server, diffservice.FromApplierAndComparer(d, newHolder(d, client.LeasesService(), o.root)))
	return answer(ctx, server, listener, o)
}

// newServer returns a server that ends only when its requests have: they need the
// snapshotter and containerd to take back what they have begun.
func newServer(callers *guard) *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(newUnixCredentials()),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.ChainUnaryInterceptor(forCaller, callers.unary),
		grpc.ChainStreamInterceptor(surviveStream, callers.stream),
		grpc.WaitForHandlers(true),
	)
}

// answer runs the server until ctx ends.
func answer(ctx context.Context, server *grpc.Server, listener net.Listener, o options) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.G(ctx).WithFields(log.Fields{"version": version.Version, "root": o.root, "address": o.address, "containerd": o.containerd}).Info("baleen-containerd is ready")
	notify(ctx, daemon.SdNotifyReady)
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", o.address, err)
	case <-ctx.Done():
	}
	notify(ctx, daemon.SdNotifyStopping)
	log.G(ctx).Info("baleen-containerd ends")
	hurry := time.AfterFunc(endPatience, server.Stop)
	defer hurry.Stop()
	server.GracefulStop()
	return <-ended
}

// notify tells systemd, if that has started this process.
func notify(ctx context.Context, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.G(ctx).WithError(err).WithField("socket", os.Getenv("NOTIFY_SOCKET")).Warn("could not notify systemd")
	}
}
