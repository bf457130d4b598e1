package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
)

// streamed returns a handler that answers with what an operation on a container emits. The
// name is "" for a route without one.
func streamed[T any, P request[T]](operate func(ctx context.Context, name string, body T, emit func(api.Progress)) error) Handler {
	return decoded[T, P](func(ctx context.Context, w http.ResponseWriter, vars map[string]string, body T) error {
		return stream(w, func(emit func(api.Progress)) error { return operate(ctx, vars["name"], body, emit) })
	})
}

// stream sends what work emits, one message at a time. An error before the first
// message is returned: it has a status of its own. An error after that is the last
// message.
func stream(w http.ResponseWriter, work func(emit func(api.Progress)) error) error {
	s := newSender(w)
	err := work(s.send)
	if s.end(err) {
		return nil
	}
	return err
}

// sendTimeout is how long a client may take to receive a message. Its connection is given
// up then, and with it the request: work may have a container frozen, and would wait as
// long as a client that is suspended.
var sendTimeout = 30 * time.Second

// sender writes messages to a client as they come.
type sender struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	enc     *json.Encoder
	control *http.ResponseController
	began   bool
	ended   bool
}

func newSender(w http.ResponseWriter) *sender {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &sender{w: w, enc: enc, control: http.NewResponseController(w)}
}

// send writes one message. A message that comes after the end is dropped: the
// writer is the server's again by then.
func (s *sender) send(p api.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(p)
}

// end sends the error of the work, if any message has been sent before it, and
// reports whether one has.
func (s *sender) end(err error) (answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.began {
		s.write(api.Progress{Error: compat.PrintableError(err).Error()})
	}
	s.ended = true
	return s.began
}

func (s *sender) write(p api.Progress) {
	if s.ended {
		return
	}
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", "application/json")
		s.w.WriteHeader(http.StatusOK)
	}
	// The client may be gone; the work goes on all the same.
	_ = s.control.SetWriteDeadline(time.Now().Add(sendTimeout))
	_ = s.enc.Encode(p)
	_ = s.control.Flush()
	_ = s.control.SetWriteDeadline(time.Time{}) // the next message may come much later
}
