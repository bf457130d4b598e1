package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Chunk is how much of a blob is written, or sent to the content store in one message,
// at a time. containerd takes up to 16 MiB.
const Chunk = 1 << 20

// answersAhead bounds how many messages may wait for their answers.
const answersAhead = 16

// stream is a call that sends a blob to containerd's content store, or tells it of one
// that lies there. The client's own writer waits for an answer to every piece, takes four
// answers for a small blob, and says "EOF" when containerd ends the call, and not why. A
// stream has one user, who always closes it.
type stream struct {
	s      *Store
	ctx    context.Context // for Write, which has no parameter for it
	cancel func()          // ends the call
	ref    string
	call   contentapi.Content_WriteClient

	chunk  []byte
	offset int64 // of what has been sent
	sent   int   // messages

	answers chan *contentapi.WriteContentResponse
	got     int   // answers
	err     error // why there are no more answers; set before answers is closed
	last    *contentapi.WriteContentResponse
	stored  bool
}

// openStream starts a call.
func (s *Store) openStream(ctx context.Context) (*stream, error) {
	conn, ok := s.client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, fmt.Errorf("containerd's client is connected by %T, not by gRPC: %w", s.client.Conn(), errdefs.ErrNotImplemented)
	}
	// The call outlives the request, for Close to end it in order.
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lease.CleanupTimeout, cancel) })
	call, err := contentapi.NewContentClient(conn).Write(cctx)
	if err != nil {
		cancel()
		return nil, errgrpc.ToNative(err)
	}
	w := &stream{
		s: s, ctx: ctx, call: call,
		cancel:  func() { stop(); cancel() },
		ref:     "baleen-" + rand.Text(),
		answers: make(chan *contentapi.WriteContentResponse, answersAhead),
	}
	go w.receive()
	return w, nil
}

// receive takes the answers until the call ends.
func (w *stream) receive() {
	defer close(w.answers)
	for {
		answer, err := w.call.Recv()
		if err != nil {
			w.err = err
			return
		}
		w.answers <- answer
	}
}

// await takes answers until no more than that many are outstanding.
func (w *stream) await(outstanding int) error {
	for w.sent-w.got > outstanding {
		select {
		case answer, ok := <-w.answers:
			if !ok {
				return w.ended()
			}
			w.last = answer
			w.got++
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
	return nil
}

// ended tells why there are no more answers.
func (w *stream) ended() error {
	if errors.Is(w.err, io.EOF) {
		return fmt.Errorf("containerd ended the call early: %w", errdefs.ErrUnavailable)
	}
	return errgrpc.ToNative(w.err)
}

func (w *stream) send(m *contentapi.WriteContentRequest) error {
	if w.sent == 0 {
		m.Ref = w.ref
	}
	m.Offset = w.offset
	err := w.call.Send(m)
	w.sent++
	if errors.Is(err, io.EOF) { // the reason is the next answer
		return w.await(0)
	}
	if err != nil {
		return errgrpc.ToNative(err)
	}
	w.offset += int64(len(m.Data))
	return w.await(answersAhead - 1)
}

// Write takes a piece of the blob. It may return before the piece is stored: commit
// tells whether all are.
func (w *stream) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), Chunk-len(w.chunk))
		w.chunk = append(w.chunk, p[:n]...)
		p, written = p[n:], written+n
		if len(w.chunk) == Chunk {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (w *stream) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	err := w.send(&contentapi.WriteContentRequest{Action: contentapi.WriteAction_WRITE, Data: w.chunk})
	w.chunk = w.chunk[:0] // sending has made a copy
	return err
}

// commit makes the blob one of the store's, see [Writer.Commit].
func (w *stream) commit(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) error {
	m := &contentapi.WriteContentRequest{Action: contentapi.WriteAction_COMMIT, Data: w.chunk, Total: desc.Size, Labels: labels}
	if w.sent == 0 {
		m.Expected = desc.Digest.String()
	}
	err := w.send(m)
	if err == nil {
		err = w.await(0)
	}
	if errdefs.IsAlreadyExists(err) {
		w.stored = true // containerd has dropped what was written
		return w.s.Adopt(ctx, desc.Digest, labels)
	}
	if err != nil {
		return err
	}
	if w.last.Digest != desc.Digest.String() || w.last.Offset != desc.Size {
		return fmt.Errorf("containerd stored %s of %d bytes instead of %s of %d: %w", w.last.Digest, w.last.Offset, desc.Digest, desc.Size, errdefs.ErrDataLoss)
	}
	w.stored = true
	return nil
}

// adopt has the store take the blob that lies in its folder by the name of its digest.
// containerd does not read it. It returns errdefs.ErrOutOfRange if containerd sees none
// there, or takes none.
func (w *stream) adopt(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) error {
	// containerd starts at the end of a blob that it can take, and at 0 of one that it
	// waits for. Told 0, it copies the one that it has.
	w.offset = desc.Size
	return w.commit(ctx, desc, labels)
}

// close ends the call, and drops what was written if it was not committed. It
// returns the failure that it is given, with its own.
func (w *stream) close(ctx context.Context, failure error) error {
	defer w.cancel()
	if w.stored {
		return failure
	}
	// What containerd is still closing cannot be dropped: it would leave a file
	// behind in the folder that is being removed. Having closed it ends the
	// call.
	timeout := time.AfterFunc(lease.CleanupTimeout, w.cancel)
	defer timeout.Stop()
	failure = errors.Join(failure, w.call.CloseSend())
	for range w.answers {
	}
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	if err := w.s.content.Abort(ctx, w.ref); err != nil && !errdefs.IsNotFound(err) {
		return errors.Join(failure, fmt.Errorf("abort: %w", err))
	}
	return failure
}
