package snap

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/snapshotter"
)

// Tasks looks up containerd's task of a container, as [tasks.TasksClient] does.
type Tasks interface {
	Get(ctx context.Context, r *tasks.GetRequest, opts ...grpc.CallOption) (*tasks.GetResponse, error)
}

// Idle makes sure that nobody can be writing to an active snapshot of the container:
// containerd has no task of the container, and no mount in the mount namespace of
// this process shows the snapshot. Otherwise the error is
// errdefs.ErrFailedPrecondition.
//
// Neither is enough by itself. The root of a container may be mounted in another
// mount namespace than this process's, if the process was started again while the
// container ran; and who copies files has mounted it without a task. A task that
// has ended counts: processes of it can outlive it until it is deleted.
func (s *Store) Idle(ctx context.Context, key string) error {
	if err := s.NoTask(ctx); err != nil {
		return err
	}
	mounts, err := s.Snapshots.Mounts(ctx, key)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up mounts of %s: %w", key, err)
	}
	points, err := snapshotter.MountPoints(mounts)
	if err != nil {
		return fmt.Errorf("look whether snapshot %s is mounted: %w", key, err)
	}
	if len(points) > 0 {
		return fmt.Errorf("its files are in use: snapshot %s is mounted on %s: %w", key, points[0], errdefs.ErrFailedPrecondition)
	}
	return nil
}

// NoTask makes sure that containerd has no task of the container.
func (s *Store) NoTask(ctx context.Context) error {
	found, err := s.task(ctx)
	switch {
	case err != nil || found == nil:
		return err
	case found.Status == task.Status_STOPPED:
		return fmt.Errorf("its files may be in use: containerd has a task of it that has ended, process %d, and was not deleted: "+
			"start the container once, which deletes it, or use ctr tasks delete %s in its namespace: %w", found.Pid, s.Container, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("its files are in use: containerd has a task of it, process %d, which must be deleted before: %w", found.Pid, errdefs.ErrFailedPrecondition)
}

// RunningTask returns the process ID of the container's task, if that has not
// ended; otherwise 0.
func (s *Store) RunningTask(ctx context.Context) (pid int, err error) {
	found, err := s.task(ctx)
	if err != nil || found == nil || found.Status == task.Status_STOPPED {
		return 0, err
	}
	return int(found.Pid), nil
}

// task returns containerd's task of the container; nil if there is none.
func (s *Store) task(ctx context.Context) (*task.Process, error) {
	found, err := s.Tasks.Get(ctx, &tasks.GetRequest{ContainerID: s.Container})
	if err = errgrpc.ToNative(err); errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for its task: %w", err)
	}
	return found.Process, nil
}
