package lifecycle

import (
	"context"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat/moby"
)

// EndWork is called before a container is removed: an operation on its revisions keeps it
// from being removed, or is called off if the removal is by force. What runs without the
// daemon's record saying so keeps it as well, or is ended.
//
// The daemon calls it twice: before it marks the container for removal, which it should
// not do in vain, and after that, because an operation may have begun before the mark.
func (o *Operations) EndWork(ctx context.Context, c *moby.Container, force bool) error {
	if o == nil {
		return nil
	}
	if err := o.callOff(ctx, c, force); err != nil {
		return err
	}
	return o.endUnrecorded(ctx, c, force)
}

func (o *Operations) callOff(ctx context.Context, c *moby.Container, force bool) error {
	w := o.guard.find(c.ID)
	if w == nil {
		return nil
	}
	if !force {
		return conflict("container %s is busy: %s is under way: wait for it, or force remove", bare(c), w.what)
	}
	w.cancel()
	if err := o.daemon.Kill(ctx, c); err != nil {
		return fmt.Errorf("could not kill container: %w", err)
	}
	<-w.done
	return nil
}

// endUnrecorded ends, by force, a container that runs by containerd's record and not by
// the daemon's; and also what was to become its first process, which would keep its files
// for ever.
func (o *Operations) endUnrecorded(ctx context.Context, c *moby.Container, force bool) error {
	task, _, err := o.leftTask(ctx, c)
	if err != nil || task == nil {
		return err
	}
	if !force {
		return conflict("container %s (%s) runs: containerd has a task of it, process %d, of which the daemon's record does not tell: force remove", bare(c), c.ID, task.Pid())
	}
	log.G(ctx).WithField("container", c.ID).WithField("process", task.Pid()).Warn("ending a container that runs without the daemon's record telling so")
	if _, err := task.Delete(ctx, containerd.WithProcessKill); err != nil && !cerrdefs.IsNotFound(err) {
		// The daemon hears of its end, and deletes it as well: whoever comes second finds
		// nobody to answer.
		if left, _, leftErr := o.leftTask(ctx, c); left != nil || leftErr != nil {
			return fmt.Errorf("end container %s, which runs without the daemon's record telling so: %w", bare(c), err)
		}
	}
	return nil
}
