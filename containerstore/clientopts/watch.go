package clientopts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
)

// taskWatch hears of what happens to the container's task. An event of its own, which
// comes behind all that was before it, says that it has heard everything.
type taskWatch struct {
	*clientContainer
	heard  <-chan *events.Envelope
	failed <-chan error
	topic  string // of its own events

	namespace string
}

// markTopic begins the topics of the events by which a checkpoint finds out that it has
// heard all others.
const markTopic = "/baleen/checkpoint/"

// watchTask hears of all that happens from now until stop is called.
func (p *clientContainer) watchTask(ctx context.Context) (_ *taskWatch, stop func(), _ error) {
	ctx, stop = context.WithCancel(ctx)
	w := &taskWatch{clientContainer: p, topic: markTopic + rand.Text(), namespace: p.client.DefaultNamespace()}
	if namespace, ok := namespaces.Namespace(ctx); ok {
		w.namespace = namespace
	}
	w.heard, w.failed = p.client.Subscribe(ctx, `topic~="^/tasks/"`, fmt.Sprintf("topic==%q", w.topic))
	// Until the subscription is known to containerd, its events are lost.
	for {
		err := w.mark(ctx)
		if err == nil {
			var came bool
			if came, err = w.hear(ctx, 100*time.Millisecond, func(*events.Envelope) {}); came {
				return w, stop, nil
			}
		}
		if err != nil {
			stop()
			return nil, nil, err
		}
	}
}

func (w *taskWatch) mark(ctx context.Context) error {
	if err := w.client.EventService().Publish(ctx, w.topic, &apievents.TaskOOM{ContainerID: w.Container}); err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	return nil
}

// hear calls f for all that happened before the event of its own, and reports whether
// that has come in time.
func (w *taskWatch) hear(ctx context.Context, patience time.Duration, f func(*events.Envelope)) (bool, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case e := <-w.heard:
			if e.Topic == w.topic {
				return true, nil
			}
			f(e)
		case err := <-w.failed:
			return false, fmt.Errorf("listen to events: %w", errors.Join(err, ctx.Err()))
		case <-late.C:
			return false, nil
		}
	}
}

// eventPatience is how long containerd may take to tell what has happened.
const eventPatience = 10 * time.Second

// stoodStill makes sure that nobody has let the container run since it was paused, not
// even for a moment.
func (w *taskWatch) stoodStill(ctx context.Context) error {
	if err := w.mark(ctx); err != nil {
		return err
	}
	ran := false
	came, err := w.hear(ctx, eventPatience, func(e *events.Envelope) { ran = ran || w.runs(e) })
	if err != nil {
		return err
	}
	if !came {
		return fmt.Errorf("containerd did not tell within %v what happened to it: %w", eventPatience, errdefs.ErrUnavailable)
	}
	// What a shim has done is told a moment later.
	_, status, err := w.task(ctx)
	if err == nil && (ran || status == client.Running) {
		err = fmt.Errorf("it was started or resumed while its files were read: %w", errdefs.ErrConflict)
	}
	return err
}

// runs reports whether an event says that the container's processes may run.
func (w *taskWatch) runs(e *events.Envelope) bool {
	var of string
	switch event, _ := typeurl.UnmarshalAny(e.Event); event := event.(type) {
	case *apievents.TaskCreate:
		of = event.ContainerID
	case *apievents.TaskStart:
		of = event.ContainerID
	case *apievents.TaskResumed:
		of = event.ContainerID
	}
	return of == w.Container && e.Namespace == w.namespace
}
