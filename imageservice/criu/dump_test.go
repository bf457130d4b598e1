package criu_test

import (
	"context"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baleen-project/baleen/imageservice/criu"
)

// dumper answers like containerd's task service.
type dumper struct {
	answer []*types.Descriptor
	err    error
	asked  *tasks.CheckpointTaskRequest
}

func (d *dumper) Checkpoint(_ context.Context, in *tasks.CheckpointTaskRequest, _ ...grpc.CallOption) (*tasks.CheckpointTaskResponse, error) {
	d.asked = in
	return &tasks.CheckpointTaskResponse{Descriptors: d.answer}, d.err
}

func TestDump(t *testing.T) {
	d := &dumper{answer: []*types.Descriptor{
		{MediaType: images.MediaTypeContainerd1CheckpointConfig, Digest: "sha256:a"},
		{MediaType: images.MediaTypeContainerd1Checkpoint, Digest: "sha256:b", Size: 7},
	}}
	got, err := criu.Dump(t.Context(), d, "web")
	if err != nil || got.Digest != "sha256:b" || got.Size != 7 || got.MediaType != images.MediaTypeContainerd1Checkpoint {
		t.Errorf("%+v: %v", got, err)
	}
	asked, err := typeurl.UnmarshalAny(d.asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := asked.(*runcoptions.CheckpointOptions)
	if !ok || d.asked.ContainerID != "web" || o.Exit || !o.FileLocks || len(o.EmptyNamespaces) != 1 || o.EmptyNamespaces[0] != "network" {
		t.Errorf("asked %+v", d.asked)
	}
}

func TestDumpFails(t *testing.T) {
	_, err := criu.Dump(t.Context(), &dumper{err: status.Error(codes.NotFound, "no such task")}, "web")
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no such task") || !strings.Contains(err.Error(), "--no-process") {
		t.Error(err)
	}
	if _, err := criu.Dump(t.Context(), &dumper{}, "web"); err == nil || !strings.Contains(err.Error(), "returned none") {
		t.Error(err)
	}
}
