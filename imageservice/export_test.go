package imageservice

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CompletePull pulls from a registry, as [Service.PullComplete] does from containerd's
// client.
func CompletePull(from puller, store images.Store, complete func(context.Context, ocispec.Descriptor) error) func(context.Context, string, ...containerd.RemoteOpt) (containerd.Image, error) {
	return completePull{from, store, complete}.run
}
