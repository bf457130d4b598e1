package suites

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scriptRig has a shell script in the place of a test binary.
type scriptRig string

func (r scriptRig) Command(ctx context.Context, _ ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", string(r))
	cmd.WaitDelay = time.Second
	return cmd
}

func (scriptRig) Died() string       { return "" }
func (scriptRig) Close(string) error { return nil }

// binary prints what a test binary does whose tests end so: "TestA PASS".
func binary(tests ...string) scriptRig {
	text := "printf '"
	for _, test := range tests {
		name, end, _ := strings.Cut(test, " ")
		text += `\026=== RUN   ` + name + `\n\026--- ` + end + `: ` + name + ` (0.00s)\n`
	}
	return scriptRig(text + `\026PASS\n'`)
}

// scripted is a campaign with a rig for each set-up. It counts how often one is started.
func scripted(t *testing.T, scripts map[string]scriptRig) (c *Campaign, rigs map[string]int) {
	rigs = map[string]int{}
	var mu sync.Mutex
	return &Campaign{
		Suite: Suite{Name: "s", Timeout: time.Minute}, Stock: "stock", Others: []string{"ours"},
		Start: func(_ context.Context, setup string) (Rig, error) {
			mu.Lock()
			defer mu.Unlock()
			rigs[setup]++
			return scripts[setup], nil
		},
		Key:  func() (values, files []string, err error) { return []string{"value"}, nil, nil },
		Logs: t.TempDir(), Prefix: "test", Out: &bytes.Buffer{},
	}, rigs
}

// Stock's results are used again only if all that they depend on is the same.
func TestStockRunsAgainWhenSomethingChanged(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	write := func(text string) {
		if err := os.WriteFile(program, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	c, rigs := scripted(t, map[string]scriptRig{"stock": binary("TestA PASS"), "ours": binary("TestA PASS")})
	value := "value"
	c.Key = func() (values, files []string, err error) { return []string{value}, []string{program}, nil }
	for _, tc := range []struct {
		name   string
		change func()
		runs   bool
	}{
		{"the first time", func() {}, true},
		{"nothing", func() {}, false},
		{"a program", func() { write("two") }, true},
		{"a value", func() { value = "another" }, true},
		{"the selection", func() { c.Options.Run = "TestA" }, true},
		{"what is left out", func() { c.Suite.LeftOut = []LeftOut{{Pattern: "TestB"}} }, true},
		{"the timeout", func() { c.Options.Timeout = time.Hour }, false},
		{"the options", func() { c.Options.Fresh = true }, true},
	} {
		tc.change()
		before := rigs["stock"]
		if _, err := c.Run(t.Context()); err != nil {
			t.Fatal(tc.name, err)
		}
		if ran := rigs["stock"] > before; ran != tc.runs {
			t.Errorf("%s has changed: stock runs again: %v, want %v", tc.name, ran, tc.runs)
		}
	}
	if c.Suite.Run != "TestA" || c.Suite.Timeout != time.Hour {
		t.Errorf("the suite does not follow the options: %+v", c.Suite)
	}
}

// A run that was cut short says nothing of the tests that had no turn.
func TestPartialResultsAreNotKept(t *testing.T) {
	c, rigs := scripted(t, map[string]scriptRig{
		"stock": binary("TestA PASS") + `; printf '\026=== RUN   TestB\n'; exit 2`, "ours": binary("TestA PASS"),
	})
	for range 2 {
		before := rigs["stock"]
		if _, err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rigs["stock"] == before {
			t.Error("stock's results are those of a run that panicked")
		}
	}
}

// A stock that passes nothing, such as one without its registry, would let all pass.
func TestNothingIsJudgedWithoutStock(t *testing.T) {
	c, _ := scripted(t, map[string]scriptRig{"stock": binary("TestA FAIL"), "ours": binary("TestA FAIL")})
	if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is judged") {
		t.Errorf("error is %v", err)
	}
}

// A test that neither passes is told by its name: stock may have failed by chance, and
// the kept results say so from then on.
func TestWhatNeitherPassesIsNamed(t *testing.T) {
	both := binary("TestA PASS", "TestB FAIL")
	c, _ := scripted(t, map[string]scriptRig{"stock": both, "ours": both})
	var out bytes.Buffer
	c.Out = &out
	count, err := c.Run(t.Context())
	if want := (Tally{Passed: 1}); err != nil || count != want {
		t.Errorf("the tally is %v, %v", count, err)
	}
	if !strings.Contains(out.String(), "Neither stock nor ours passes (not judged):\n  TestB\n") {
		t.Errorf("TestB is not named:\n%s", out.String())
	}
}
