package suites

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// script runs a shell script as if it were a test binary.
func script(t *testing.T, l limits, text string) (*recording, ending, string) {
	t.Helper()
	// The shell would wait for its command before it minds a signal.
	cmd := exec.CommandContext(t.Context(), "bash", "-c", text)
	cmd.WaitDelay = time.Second
	var log bytes.Buffer
	rec, how, err := record(t.Context(), cmd, l, &log)
	if err != nil {
		t.Fatal(err)
	}
	return rec, how, log.String()
}

const begin = `printf '\026=== RUN   TestA\n\026--- PASS: TestA (0.00s)\n\026=== RUN   TestB\n'; `

var patient = limits{whole: time.Minute, silence: time.Minute, dying: time.Second}

// endings are scripts that print what a test binary prints, and how each ends.
var endings = []struct {
	name, script string
	limits       limits
	how          ending
	testB        outcome
}{
	{
		name: "all passed", script: begin + `printf '\026--- PASS: TestB (0.00s)\n\026PASS\n'`, limits: patient, testB: pass,
	},
	{
		name: "one failed", script: begin + `printf '\026--- FAIL: TestB (0.00s)\n\026FAIL\n'; exit 1`, limits: patient, testB: fail,
	},
	{
		name: "panic", script: begin + `echo 'panic: oh no'; exit 2`, limits: patient,
		how: "panicked", testB: fail,
	},
	{
		name: "exit in a test", script: begin + `exit 0`, limits: patient,
		how: "ended before its tests did", testB: fail,
	},
	{
		name: "other exit status", script: begin + `exit 77`, limits: patient,
		how: "ended with exit status 77", testB: fail,
	},
	{
		name: "killed inside the stack", script: begin + `exit 137`, limits: patient,
		how: "was killed by SIGKILL", testB: fail,
	},
	{
		name: "killed", script: begin + `kill -KILL $$`, limits: patient,
		how: "ended with signal: killed", testB: fail,
	},
	{
		name: "hang", script: begin + `exec sleep 60`,
		limits: limits{whole: time.Minute, silence: 200 * time.Millisecond, dying: time.Second},
		how:    "hung: it printed nothing for 200ms", testB: fail,
	},
	{
		name: "too long", script: begin + `while sleep 0.05; do echo busy; done`,
		limits: limits{whole: 300 * time.Millisecond, silence: time.Second, dying: time.Second},
		how:    "timed out after 300ms", testB: fail,
	},
	{
		name: "does not mind SIGQUIT", script: `trap '' QUIT; ` + begin + `while :; do sleep 0.05; done`,
		limits: limits{whole: time.Minute, silence: 200 * time.Millisecond, dying: 100 * time.Millisecond},
		how:    "hung: it printed nothing for 200ms", testB: fail,
	},
}

func TestRecordTellsHowTheBinaryEnded(t *testing.T) {
	for _, tc := range endings {
		t.Run(tc.name, func(t *testing.T) {
			rec, how, log := script(t, tc.limits, tc.script)
			if how != tc.how {
				t.Errorf("ending is %q, want %q", how, tc.how)
			}
			if got := rec.results["TestA"].Outcome; got != pass {
				t.Errorf("TestA: %q, want pass", got)
			}
			if got := rec.results["TestB"].Outcome; got != tc.testB {
				t.Errorf("TestB: %q, want %q", got, tc.testB)
			}
			if !strings.Contains(log, "=== RUN   TestB") {
				t.Errorf("log is %q", log)
			}
		})
	}
}

func TestRecordEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sleep", "60")
	_, _, err := record(ctx, cmd, limits{whole: time.Minute, silence: time.Minute, dying: time.Second}, &bytes.Buffer{})
	if err == nil {
		t.Error("no error")
	}
}

func TestResultsFile(t *testing.T) {
	f := resultsFile(t.TempDir() + "/stock.json")
	if _, ok := f.find("a"); ok {
		t.Error("found results in a file that does not exist")
	}
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range maxKept + 1 {
		o := outing{Results: results{"TestA": {Outcome: pass}}, Made: made.Add(time.Duration(i) * time.Hour)}
		if err := f.put(string(rune('a'+i)), o); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := f.find("a"); ok {
		t.Error("the oldest results are still there")
	}
	o, ok := f.find("b")
	if !ok || o.Results["TestA"].Outcome != pass || !o.Made.Equal(made.Add(time.Hour)) {
		t.Errorf("found %v, %+v", ok, o)
	}
	if err := os.WriteFile(string(f), []byte("{nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.find("b"); ok {
		t.Error("found results in nonsense")
	}
}
