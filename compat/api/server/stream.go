package server

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
)

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

// sender writes messages to a client as they come.
type sender struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	enc   *json.Encoder
	flush func() error
	began bool
	ended bool
}

func newSender(w http.ResponseWriter) *sender {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &sender{w: w, enc: enc, flush: http.NewResponseController(w).Flush}
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
	_ = s.enc.Encode(p)
	_ = s.flush()
}
