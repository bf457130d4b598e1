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
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// Chunk is how much goes to the content store in one message. containerd
// takes up to 16 MiB.
const Chunk = 1 << 20

// answersAhead bounds how many messages may wait for their answers.
const answersAhead = 16

// Writer is a blob on its way into containerd's content store, under the lease
// of the context that it was started with. The client's own writer waits for an answer to every piece,
// takes four answers for a small blob, and says "EOF" when containerd ends the
// call, and not why. A Writer has one user, who always closes it.
type Writer struct {
	s      *Store
	ctx    context.Context // for Write, which has no parameter for it
	cancel func()          // ends the call
	ref    string
	stream contentapi.Content_WriteClient

	chunk  []byte
	offset int64 // of what has been sent
	sent   int   // messages

	answers chan *contentapi.WriteContentResponse
	got     int   // answers
	err     error // why there are no more answers; set before answers is closed
	last    *contentapi.WriteContentResponse
	stored  bool
}

// Open starts a blob.
func (s *Store) Open(ctx context.Context) (*Writer, error) {
	conn, ok := s.client.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, fmt.Errorf("containerd's client is connected by %T, not by gRPC: %w", s.client.Conn(), errdefs.ErrNotImplemented)
	}
	// The call outlives the request, for Close to end it in order.
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lease.CleanupTimeout, cancel) })
	stream, err := contentapi.NewContentClient(conn).Write(cctx)
	if err != nil {
		cancel()
		return nil, errgrpc.ToNative(err)
	}
	w := &Writer{
		s: s, ctx: ctx, stream: stream,
		cancel:  func() { stop(); cancel() },
		ref:     "baleen-" + rand.Text(),
		answers: make(chan *contentapi.WriteContentResponse, answersAhead),
	}
	go w.receive()
	return w, nil
}

// receive takes the answers until the call ends.
func (w *Writer) receive() {
	defer close(w.answers)
	for {
		answer, err := w.stream.Recv()
		if err != nil {
			w.err = err
			return
		}
		w.answers <- answer
	}
}

// await takes answers until no more than that many are outstanding.
func (w *Writer) await(outstanding int) error {
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
func (w *Writer) ended() error {
	if errors.Is(w.err, io.EOF) {
		return fmt.Errorf("containerd ended the call early: %w", errdefs.ErrUnavailable)
	}
	return errgrpc.ToNative(w.err)
}

func (w *Writer) send(m *contentapi.WriteContentRequest) error {
	if w.sent == 0 {
		m.Ref = w.ref
	}
	m.Offset = w.offset
	err := w.stream.Send(m)
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

// Write takes a piece of the blob. It may return before the piece is stored:
// Commit tells whether all are.
func (w *Writer) Write(p []byte) (int, error) {
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

func (w *Writer) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	err := w.send(&contentapi.WriteContentRequest{Action: contentapi.WriteAction_WRITE, Data: w.chunk})
	w.chunk = w.chunk[:0] // sending has made a copy
	return err
}

// Digest waits until the store has all that was written, and returns the digest
// that it made of it, for who would otherwise have to make a second one.
func (w *Writer) Digest() (digest.Digest, error) {
	if err := w.flush(); err != nil {
		return "", err
	}
	if err := w.await(0); err != nil {
		return "", err
	}
	if w.last == nil {
		return digest.FromBytes(nil), nil
	}
	return digest.Parse(w.last.Digest)
}

// Commit makes the blob one of the store's, with labels. If the store has it
// already, that one is put under the lease and gets the labels that it lacks.
func (w *Writer) Commit(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) error {
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

// Close ends the call, and drops what was written if it was not committed. It
// returns the failure that it is given, with its own.
func (w *Writer) Close(ctx context.Context, failure error) error {
	defer w.cancel()
	if w.stored {
		return failure
	}
	// What containerd is still closing cannot be dropped: it would leave a file
	// behind in the folder that is being removed. Having closed it ends the
	// call.
	timeout := time.AfterFunc(lease.CleanupTimeout, w.cancel)
	defer timeout.Stop()
	failure = errors.Join(failure, w.stream.CloseSend())
	for range w.answers {
	}
	ctx, cancel := lease.Cleanup(ctx)
	defer cancel()
	if err := w.s.content.Abort(ctx, w.ref); err != nil && !errdefs.IsNotFound(err) {
		return errors.Join(failure, fmt.Errorf("abort: %w", err))
	}
	return failure
}
