package imageservice

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/log"
	"github.com/docker/go-metrics"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Metrics, on dockerd's own endpoint (--metrics-addr) as baleen_commit_*.
var (
	commitMetrics = metrics.NewNamespace("baleen", "commit", nil)
	phaseSeconds  = commitMetrics.NewLabeledTimer("phase", "Time that each phase of a commit takes: look, seal, thaw, ship, publish", "phase")
	commitChanges = commitMetrics.NewCounter("changes", "Changed paths that commits have sealed")
	commitBytes   = commitMetrics.NewCounter("sealed_bytes", "Bytes of file content that commits have sealed")
	blobBytes     = commitMetrics.NewCounter("blob_bytes", "Bytes of layer blobs that commits have stored")
)

func init() { metrics.Register(commitMetrics) }

// timing measures the phases of one operation: as spans, as metrics, and as one
// line in the debug log.
type timing struct {
	mu     sync.Mutex
	fields log.Fields
	began  time.Time
}

func tracer() trace.Tracer { return otel.Tracer("github.com/baleen-project/baleen/imageservice") }

// begin starts the span of an operation on an object. The caller defers end
// with its error.
func begin(ctx context.Context, verb, object string) (_ context.Context, _ *timing, end func(error)) {
	ctx, span := tracer().Start(ctx, "baleen."+verb, trace.WithAttributes(attribute.String("object", object)))
	t := &timing{fields: log.Fields{"operation": verb, "object": object}, began: time.Now()}
	return ctx, t, func(err error) {
		finish(span, err)
		t.add("total", time.Since(t.began))
		t.mu.Lock()
		defer t.mu.Unlock()
		log.G(ctx).WithError(err).WithFields(t.fields).Debug("operation done")
	}
}

// phase starts a phase. The function that it returns ends it.
func (t *timing) phase(ctx context.Context, name string) (context.Context, func(error)) {
	ctx, span := tracer().Start(ctx, "baleen."+name)
	began := time.Now()
	return ctx, func(err error) {
		finish(span, err)
		took := time.Since(began)
		phaseSeconds.WithValues(name).Update(took)
		t.add(name, took)
	}
}

// add notes a figure for the log line.
func (t *timing) add(name string, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fields[name] = value
}

func finish(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
