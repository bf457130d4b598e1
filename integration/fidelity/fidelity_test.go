package fidelity_test

import (
	"context"
	"flag"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/integration/stack"
)

var (
	flavors  = flag.String("flavor", "fork", "which dockerd: fork, stock or both with a comma")
	modes    = flag.String("mode", "", "which modes, with commas, or all (the default one, userns, and of redirect and userxattr what concerns them)")
	caseName = flag.String("case", "", "which cases, a regular expression (all)")
)

// Snapshots are mounted to be looked at. Nobody else needs to see that.
func TestMain(m *testing.M) { mountns.Main(m.Run) }

func TestFidelity(t *testing.T) {
	if err := stack.CheckMachine(); errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		t.Skip(err)
	}
	var summary strings.Builder
	for _, flavor := range strings.Split(*flavors, ",") {
		for _, mode := range chosenModes(t) {
			f := map[string]stack.Flavor{"fork": stack.Fork, "stock": stack.Stock}[flavor]
			if f.String() != flavor {
				t.Fatalf("there is no flavor %q", flavor)
			}
			t.Run(flavor+"/"+mode.Name, func(t *testing.T) {
				r := tryAll(t, f, mode, chosenCases(t, mode))
				r.Write(&summary)
			})
		}
	}
	t.Logf("\n%s", summary.String())
}

// TestDiffer has stock dockerd commit by way of Baleen's differ, on containerd's
// snapshotter and on Baleen's.
func TestDiffer(t *testing.T) {
	if err := stack.CheckMachine(); errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		t.Skip(err)
	}
	for _, name := range []string{"differ", "driver", "linked"} {
		t.Run(name, func(t *testing.T) {
			mode, ok := fidelity.FindMode(name)
			if !ok {
				t.Fatal("there is no such mode")
			}
			for _, v := range tryAll(t, stack.Stock, mode, mode.Concerns).Verdicts {
				if v.Image != nil {
					t.Errorf("%s: %v", v.Case.Name, v.Image)
				}
			}
		})
	}
}

func chosenCases(t *testing.T, mode fidelity.Mode) []fidelity.Case {
	t.Helper()
	pattern, err := regexp.Compile(*caseName)
	if err != nil {
		t.Fatal(err)
	}
	all := fidelity.Cases()
	if *modes == "" && mode.Concerns != nil {
		all = mode.Concerns
	}
	var cases []fidelity.Case
	for _, c := range all {
		if except := mode.Except; except != "" && regexp.MustCompile(except).MatchString(c.Name) {
			continue
		}
		if pattern.MatchString(c.Name) {
			cases = append(cases, c)
		}
	}
	return cases
}

func chosenModes(t *testing.T) []fidelity.Mode {
	t.Helper()
	names := *modes
	switch names {
	case "all":
		return fidelity.Modes
	case "":
		names = "default,redirect,userxattr,userns"
	}
	var chosen []fidelity.Mode
	for _, name := range strings.Split(names, ",") {
		mode, ok := fidelity.FindMode(name)
		if !ok {
			t.Fatalf("there is no mode %q", name)
		}
		chosen = append(chosen, mode)
	}
	return chosen
}

// tryAll tries the cases on one engine. What fails on stock fails no test: it is
// there to compare with.
func tryAll(t *testing.T, flavor stack.Flavor, mode fidelity.Mode, cases []fidelity.Case) *fidelity.Report {
	t.Helper()
	lab, err := fidelity.Open(t.Context(), flavor, mode)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		// The test's context may have ended.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := lab.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	report := &fidelity.Report{Title: flavor.String() + " " + mode.Name, Verdicts: make([]fidelity.Verdict, len(cases))}
	t.Run("cases", func(t *testing.T) { // waits for those in parallel
		var mu sync.Mutex
		for i, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				v, err := lab.Try(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				report.Verdicts[i] = v
				mu.Unlock()
				for _, err := range []error{v.Image, v.Diff} {
					switch {
					case err != nil && flavor == stack.Fork:
						t.Error(err)
					case err != nil:
						t.Log(err)
					}
				}
			})
		}
	})
	return report
}

func TestCasesHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range fidelity.Cases() {
		if c.Name == "" || c.Script == "" || seen[c.Name] {
			t.Errorf("case %q has no name of its own or no script", c.Name)
		}
		seen[c.Name] = true
	}
}
