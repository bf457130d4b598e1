package phases

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

// Operation is one that is measured.
type Operation struct {
	mu     sync.Mutex
	fields log.Fields
	began  time.Time
}

func tracer() trace.Tracer { return otel.Tracer("github.com/baleen-project/baleen/imageservice") }

// Begin starts the span of an operation on an object. The caller defers end
// with its error.
func Begin(ctx context.Context, verb, object string) (_ context.Context, _ *Operation, end func(error)) {
	ctx, span := tracer().Start(ctx, "baleen."+verb, trace.WithAttributes(attribute.String("object", object)))
	o := &Operation{fields: log.Fields{"operation": verb, "object": object}, began: time.Now()}
	return ctx, o, func(err error) {
		finish(span, err)
		o.Add("total", time.Since(o.began))
		o.mu.Lock()
		defer o.mu.Unlock()
		log.G(ctx).WithError(err).WithFields(o.fields).Debug("operation done")
	}
}

// Phase starts a phase. The function that it returns ends it.
func (o *Operation) Phase(ctx context.Context, name string) (context.Context, func(error)) {
	ctx, span := tracer().Start(ctx, "baleen."+name)
	began := time.Now()
	return ctx, func(err error) {
		finish(span, err)
		took := time.Since(began)
		phaseSeconds.WithValues(name).Update(took)
		o.Add(name, took)
	}
}

// Add notes a figure for the log line.
func (o *Operation) Add(name string, value any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fields[name] = value
}

// Sealed counts what a commit has sealed.
func Sealed(changes, bytes int64) {
	commitChanges.Inc(float64(changes))
	commitBytes.Inc(float64(bytes))
}

// Stored counts the blob of a layer, in bytes.
func Stored(blob int64) { blobBytes.Inc(float64(blob)) }

func finish(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
