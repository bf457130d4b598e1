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
	for began := time.Now(); time.Since(began) < eventPatience; {
		_, err := w.mark(ctx)
		if err == nil {
			var came bool
			if came, err = w.hear(ctx, "", 100*time.Millisecond, func(*events.Envelope) {}); came {
				return w, stop, nil
			}
		}
		if err != nil {
			stop()
			return nil, nil, err
		}
	}
	stop()
	return nil, nil, errNoEvents
}

var errNoEvents = fmt.Errorf("containerd did not tell within %v what happens to it: %w", eventPatience, errdefs.ErrUnavailable)

// mark publishes an event of its own, and returns what it can be told by.
func (w *taskWatch) mark(ctx context.Context) (token string, _ error) {
	token = rand.Text()
	if err := w.client.EventService().Publish(ctx, w.topic, &apievents.TaskOOM{ContainerID: token}); err != nil {
		return "", fmt.Errorf("publish event: %w", err)
	}
	return token, nil
}

// hear calls f for all that happened before an event of its own, or before the first if
// token is "", and reports whether that has come in time.
func (w *taskWatch) hear(ctx context.Context, token string, patience time.Duration, f func(*events.Envelope)) (bool, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case e := <-w.heard:
			if e.Topic != w.topic {
				f(e)
			} else if token == "" || containerOf(e) == token {
				return true, nil
			}
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
	token, err := w.mark(ctx)
	if err != nil {
		return err
	}
	ran := false
	came, err := w.hear(ctx, token, eventPatience, func(e *events.Envelope) { ran = ran || w.runs(e) })
	if err != nil {
		return err
	}
	if !came {
		return errNoEvents
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
	switch e.Topic {
	case "/tasks/create", "/tasks/start", "/tasks/resumed":
		return containerOf(e) == w.Container && e.Namespace == w.namespace
	}
	return false
}

// containerOf is the id that an event is about; "" if it is of another kind.
func containerOf(e *events.Envelope) string {
	event, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return ""
	}
	switch event := event.(type) {
	case *apievents.TaskCreate:
		return event.ContainerID
	case *apievents.TaskStart:
		return event.ContainerID
	case *apievents.TaskResumed:
		return event.ContainerID
	case *apievents.TaskOOM: // of our own
		return event.ContainerID
	}
	return ""
}
