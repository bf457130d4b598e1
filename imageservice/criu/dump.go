package criu

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
)

// Dumper is the part of containerd's task service that dumps processes.
type Dumper interface {
	Checkpoint(ctx context.Context, in *tasks.CheckpointTaskRequest, opts ...grpc.CallOption) (*tasks.CheckpointTaskResponse, error)
}

// DumpOptions are how processes are dumped. The network is left out: it is the
// engine's, which makes it anew when it restores.
func DumpOptions() *runcoptions.CheckpointOptions {
	return &runcoptions.CheckpointOptions{FileLocks: true, EmptyNamespaces: []string{"network"}}
}

// Dump dumps the processes of a container, which go on after that. It returns the
// blob of the dump, which the lease in ctx holds. An error has the class of containerd's.
func Dump(ctx context.Context, d Dumper, container string) (ocispec.Descriptor, error) {
	options, err := typeurl.MarshalAnyToProto(DumpOptions())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	kept, err := d.Checkpoint(ctx, &tasks.CheckpointTaskRequest{ContainerID: container, Options: options})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("keep the processes: %w%s (--no-process keeps the files alone)", errgrpc.ToNative(err), LogOf(err))
	}
	for _, d := range kept.Descriptors {
		if d.MediaType == images.MediaTypeContainerd1Checkpoint {
			return ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}, nil
		}
	}
	return ocispec.Descriptor{}, errors.New("keep the processes: containerd has returned none")
}
