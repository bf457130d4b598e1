package containerstore

import "context"

// Idle makes sure that nobody can be writing to the container's files: containerd
// has no task of the container, and no mount in the mount namespace of this process
// shows the container's active snapshot. Otherwise the error is
// errdefs.ErrFailedPrecondition.
//
// Neither is enough by itself. The root of a container may be mounted in another
// mount namespace than this process's, if the process was started again while the
// container ran; and who copies files has mounted it without a task. A task that
// has ended counts: processes of it can outlive it until it is deleted. A caller
// that has a record of the container asks that as well.
//
// A History asks this itself before each act that cannot be undone.
func (h *History) Idle(ctx context.Context) error { return h.store().Idle(ctx, h.Container) }

// RunningTask returns the process ID of the container's task, if that has not
// ended; otherwise 0.
func (h *History) RunningTask(ctx context.Context) (pid int, err error) {
	return h.store().RunningTask(ctx)
}
