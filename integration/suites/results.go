package suites

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// outcome of a test. The empty one means that it has not run.
type outcome string

const (
	pass outcome = "pass"
	fail outcome = "fail"
	skip outcome = "skip"
)

// result of one test.
type result struct {
	Outcome outcome `json:",omitempty"`
	Seconds float64 `json:",omitempty"`
	// Note is what the outcome does not say, such as that the test was running
	// when the binary ended.
	Note string `json:",omitempty"`
	// Output is the end of what the test printed, if it did not pass.
	Output []string `json:",omitempty"`
}

// Tally counts tests.
type Tally struct{ Passed, Failed, Skipped int }

// Add adds another count.
func (t *Tally) Add(o Tally) {
	t.Passed += o.Passed
	t.Failed += o.Failed
	t.Skipped += o.Skipped
}

// String returns "1 passed, 2 failed, 3 skipped".
func (t Tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
}

// results of the tests that were run, by their common names.
type results map[string]result

func (r results) names() []string { return slices.Sorted(maps.Keys(r)) }

func (r results) count() Tally {
	var t Tally
	for _, res := range r {
		switch res.Outcome {
		case pass:
			t.Passed++
		case skip:
			t.Skipped++
		default:
			t.Failed++
		}
	}
	return t
}

// anyNotPassed tells whether there is a test that failed or was skipped. A test
// that was never begun has no result by itself, but one that it is part of has.
func (r results) anyNotPassed() bool {
	for _, res := range r {
		if res.Outcome != pass {
			return true
		}
	}
	return false
}

// event is what `go tool test2json` writes; see `go doc test2json`.
type event struct {
	Action  string
	Test    string
	Elapsed float64
	Output  string
}

// keptLines is how many lines of a test's output are kept.
const keptLines = 40

// recording gathers the results of one run of a test binary.
type recording struct {
	results results
	// running are tests that have begun and neither ended nor been paused.
	running map[string]bool
	// interrupted are tests that were running when the binary came to a bad end.
	interrupted []string
	// last lines that belong to no test, such as a panic of TestMain.
	last []string
}

func newRecording() *recording {
	return &recording{results: results{}, running: map[string]bool{}}
}

// read takes events until the stream ends. The output is copied to log.
func (r *recording) read(stream io.Reader, log io.Writer) error {
	events := json.NewDecoder(stream)
	for {
		var e event
		err := events.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
		r.add(e)
		if _, err := io.WriteString(log, e.Output); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
}

func (r *recording) add(e event) {
	if e.Test == "" {
		if e.Action == "output" {
			r.last = appendLine(r.last, e.Output)
		}
		return
	}
	name := common(e.Test)
	res := r.results[name]
	switch e.Action {
	case "run", "cont":
		r.running[name] = true
	case "pause": // until the tests that are not parallel have ended
		delete(r.running, name)
	case "output":
		res.Output = appendLine(res.Output, e.Output)
	case "pass", "fail", "skip":
		delete(r.running, name)
		res.Outcome, res.Seconds = outcome(e.Action), e.Elapsed
		if e.Action == "pass" {
			res.Output = nil
		}
	}
	r.results[name] = res
}

// appendLine keeps the last lines. Frames such as "=== RUN" tell nothing.
func appendLine(lines []string, line string) []string {
	line = strings.TrimRight(line, "\n")
	if line == "" || strings.HasPrefix(line, "=== ") {
		return lines
	}
	lines = append(lines, line)
	return lines[max(0, len(lines)-keptLines):]
}

// interrupt marks the tests that were running when the binary ended as failed.
func (r *recording) interrupt(how ending) {
	r.interrupted = slices.Sorted(maps.Keys(r.running))
	for _, name := range r.interrupted {
		res := r.results[name]
		res.Outcome, res.Note = fail, fmt.Sprintf("was running when the test binary %s", how)
		r.results[name] = res
	}
	clear(r.running)
}

// done are the tests that another run of the binary need not run again: all that
// ended, and of those that were interrupted the innermost, to which it happened.
func (r *recording) done() []string {
	var ended []string
	for name, res := range r.results {
		if res.Outcome != "" && !slices.Contains(r.interrupted, name) {
			ended = append(ended, name)
		}
	}
	return slices.Sorted(slices.Values(append(outermost(ended), innermost(r.interrupted)...)))
}

// merge adds the results of a later run. A test that failed in one has failed.
func (r results) merge(later results) {
	for name, res := range later {
		if r[name].Outcome != fail {
			r[name] = res
		}
	}
}
