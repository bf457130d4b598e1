package show

import (
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/docker/cli/cli/streams"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

// tick is how often the time of a step moves on a terminal.
const tick = 200 * time.Millisecond

// Steps shows what goes on: on a terminal the running step with its time and how
// far it has got, and elsewhere one line for each step as it begins.
type Steps struct {
	out   *streams.Out
	quiet bool

	mu      sync.Mutex
	current string // "" between steps
	far     string // " 1MB of 2MB", or ""
	began   time.Time
	stop    chan struct{} // ends the ticking; nil before the first step
	done    chan struct{}
}

func NewSteps(out *streams.Out, quiet bool) *Steps {
	return &Steps{out: out, quiet: quiet}
}

// Show takes a message of the daemon.
func (s *Steps) Show(p api.Progress) {
	if p.Status != "" {
		s.Begin(p.Status)
	}
	if p.ProgressDetail != nil {
		s.at(*p.ProgressDetail)
	}
	s.warn(p.Warnings)
}

// warn prints warnings, also if the steps are quiet. On a terminal they stand above the
// running step.
func (s *Steps) warn(warnings []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(warnings) > 0 && s.current != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
		defer s.draw("")
	}
	Warnings(s.out, warnings)
}

// Warnings prints warnings, one a line.
func Warnings(w io.Writer, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(w, "WARNING:", printable.Text(text))
	}
}

// at notes how far the running step has got.
func (s *Steps) at(d api.ProgressDetail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.far = " " + Size(d.Current)
	if d.Total > 0 {
		s.far += " of " + Size(d.Total)
	}
}

// Begin ends the running step well and starts another.
func (s *Steps) Begin(status string) {
	status = OneLine(status)
	switch {
	case s.quiet:
		return
	case !s.out.IsTerminal():
		fmt.Fprintln(s.out, status)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish("done")
	s.current, s.far, s.began = status, "", time.Now()
	s.draw("")
	if s.stop == nil {
		s.stop, s.done = make(chan struct{}), make(chan struct{})
		go s.tick()
	}
}

// End ends the last step, and with it the display.
func (s *Steps) End(well bool) {
	if s.stop == nil {
		return
	}
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if well {
		s.finish("done")
	} else {
		s.finish("failed")
	}
}

func (s *Steps) tick() {
	defer close(s.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.mu.Lock()
			s.draw("")
			s.mu.Unlock()
		}
	}
}

// finish leaves the line of the running step as it is to stay.
func (s *Steps) finish(how string) {
	if s.current == "" {
		return
	}
	s.draw(how)
	fmt.Fprintln(s.out)
	s.current = ""
}

// draw writes the running step over its line. A line that is wider than the
// terminal could not be written over.
func (s *Steps) draw(how string) {
	took := fmt.Sprintf("%s %s %.1fs", s.far, how, time.Since(s.began).Seconds())
	text := s.current
	if _, width := s.out.GetTtySize(); width > 0 {
		room := max(int(width)-len(took)-1, 0)
		for utf8.RuneCountInString(text) > room {
			_, last := utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-last]
		}
	}
	fmt.Fprintf(s.out, "\r\x1b[K%s%s", text, took)
}
