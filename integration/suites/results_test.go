package suites

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// convert runs what a test binary printed with -test.v=test2json through the
// real test2json. In the fixtures ^ stands for its mark, the byte 0x16.
func convert(t *testing.T, output string) *recording {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "test2json", "-t")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(output, "^", "\x16"))
	events, err := cmd.Output()
	if err != nil {
		t.Fatalf("test2json: %v", err)
	}
	rec := newRecording()
	var log bytes.Buffer
	if err := rec.read(bytes.NewReader(events), &log); err != nil {
		t.Fatal(err)
	}
	return rec
}

const ordinary = `INFO: Testing against a local daemon
^=== RUN   TestA
^--- PASS: TestA (0.10s)
^=== RUN   TestB
^=== RUN   TestB/one
    b_test.go:12: a line of one
^=== RUN   TestB/two
    b_test.go:14: assertion failed: 1 != 2
^--- FAIL: TestB (0.30s)
^    --- PASS: TestB/one (0.10s)
^    --- FAIL: TestB/two (0.20s)
^=== RUN   TestC
    c_test.go:3: needs Windows
^--- SKIP: TestC (0.00s)
^FAIL
`

// The interleaved line is what a daemon prints in the middle of everything.
const interleaved = `^=== RUN   TestA
some daemon without a newline^--- PASS: TestA (0.10s)
--- FAIL: TestB (a test prints this)
^=== RUN   TestB
^--- PASS: TestB (0.10s)
^PASS
`

const panicking = `^=== RUN   TestA
^--- PASS: TestA (0.00s)
^=== RUN   TestB
^=== RUN   TestB/one
^=== RUN   TestB/two
panic: runtime error: index out of range [recovered]
	panic: runtime error: index out of range

goroutine 20 [running]:
testing.tRunner.func1.2()
`

const digestNames = `^=== RUN   TestSave
^=== RUN   TestSave/busybox@sha256:77a20e1901c63f71fcae6dd54dbea8dbce11415fd0d8c6108f2286669ef8281a
^--- PASS: TestSave (0.10s)
^    --- PASS: TestSave/busybox@sha256:77a20e1901c63f71fcae6dd54dbea8dbce11415fd0d8c6108f2286669ef8281a (0.10s)
^PASS
`

func outcomes(r results) map[string]outcome {
	m := map[string]outcome{}
	for name, res := range r {
		m[name] = res.Outcome
	}
	return m
}

func TestRecordingTellsOutcomes(t *testing.T) {
	for _, tc := range []struct {
		name, output string
		want         map[string]outcome
		interrupted  []string
	}{
		{
			name: "ordinary", output: ordinary,
			want: map[string]outcome{"TestA": pass, "TestB": fail, "TestB/one": pass, "TestB/two": fail, "TestC": skip},
		},
		{
			name: "interleaved", output: interleaved,
			want: map[string]outcome{"TestA": pass, "TestB": pass},
		},
		{
			name: "panic", output: panicking,
			want:        map[string]outcome{"TestA": pass, "TestB": fail, "TestB/one": fail, "TestB/two": fail},
			interrupted: []string{"TestB", "TestB/one", "TestB/two"},
		},
		{
			name: "digest", output: digestNames,
			want: map[string]outcome{"TestSave": pass, "TestSave/busybox@sha256:<digest>": pass},
		},
		{name: "nothing", output: "testing: warning: no tests to run\n^PASS\n", want: map[string]outcome{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := convert(t, tc.output)
			rec.interrupt("panicked")
			if got := outcomes(rec.results); !sameMap(got, tc.want) {
				t.Errorf("outcomes are %v, want %v", got, tc.want)
			}
			if !slices.Equal(rec.interrupted, tc.interrupted) {
				t.Errorf("interrupted are %v, want %v", rec.interrupted, tc.interrupted)
			}
		})
	}
}

func sameMap(a, b map[string]outcome) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func TestRecordingKeepsOutputOfFailures(t *testing.T) {
	rec := convert(t, ordinary)
	if got := rec.results["TestB/one"].Output; got != nil {
		t.Errorf("output of a test that passed is %q, want none", got)
	}
	got := strings.Join(rec.results["TestB/two"].Output, "\n")
	if !strings.Contains(got, "assertion failed: 1 != 2") || strings.Contains(got, "=== RUN") {
		t.Errorf("output is %q", got)
	}
}

func TestRecordingKeepsOnlyTheEndOfLongOutput(t *testing.T) {
	rec := newRecording()
	rec.add(event{Action: "run", Test: "TestA"})
	for range 3 * keptLines {
		rec.add(event{Action: "output", Test: "TestA", Output: "early\n"})
	}
	rec.add(event{Action: "output", Test: "TestA", Output: "late\n"})
	rec.add(event{Action: "fail", Test: "TestA"})
	got := rec.results["TestA"].Output
	if len(got) != keptLines || got[keptLines-1] != "late" {
		t.Errorf("kept %d lines, the last is %q", len(got), got[len(got)-1])
	}
}

func TestRecordingCopiesOutputToLog(t *testing.T) {
	var events, log bytes.Buffer
	for _, text := range []string{"one\n", "two\n"} {
		if err := json.NewEncoder(&events).Encode(event{Action: "output", Test: "TestA", Output: text}); err != nil {
			t.Fatal(err)
		}
	}
	if err := newRecording().read(&events, &log); err != nil {
		t.Fatal(err)
	}
	if log.String() != "one\ntwo\n" {
		t.Errorf("log is %q", log.String())
	}
}

func TestRecordingRefusesNonsense(t *testing.T) {
	if err := newRecording().read(strings.NewReader("{nonsense"), io.Discard); err == nil {
		t.Error("no error")
	}
}

func TestDoneLeavesInterruptedSiblingsTheirTurn(t *testing.T) {
	rec := newRecording()
	for _, e := range []event{
		{Action: "run", Test: "TestA"}, {Action: "run", Test: "TestA/x"}, {Action: "pass", Test: "TestA/x"}, {Action: "pass", Test: "TestA"},
		{Action: "run", Test: "TestSuite"},
		{Action: "run", Test: "TestSuite/TestOne"}, {Action: "pass", Test: "TestSuite/TestOne"},
		{Action: "run", Test: "TestSuite/TestTwo"},
		{Action: "run", Test: "TestParallel"}, {Action: "pause", Test: "TestParallel"},
	} {
		rec.add(e)
	}
	rec.interrupt("hung")
	want := []string{"TestA", "TestSuite/TestOne", "TestSuite/TestTwo"}
	if got := rec.done(); !slices.Equal(got, want) {
		t.Errorf("done are %v, want %v", got, want)
	}
	if note := rec.results["TestSuite"].Note; note != "was running when the test binary hung" {
		t.Errorf("note is %q", note)
	}
}

func TestMergeDoesNotForgetFailures(t *testing.T) {
	r := results{"A": {Outcome: fail}, "B": {Outcome: pass}, "C": {}}
	r.merge(results{"A": {Outcome: pass}, "B": {Outcome: fail}, "C": {Outcome: pass}, "D": {Outcome: skip}})
	want := map[string]outcome{"A": fail, "B": fail, "C": pass, "D": skip}
	if got := outcomes(r); !sameMap(got, want) {
		t.Errorf("merged are %v, want %v", got, want)
	}
}
