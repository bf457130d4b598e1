package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// report prints what came of a suite.
type report struct {
	suite suite
	out   io.Writer
	logs  string
}

// single reports on one flavor, with all its failures.
func (r report) single(flavor stack.Flavor, o outing) {
	r.table(map[stack.Flavor]outing{flavor: o}, flavor)
	r.trouble(flavor, o)
	var failures []string
	for _, name := range o.Results.names() {
		if res := o.Results[name].Outcome; res != pass && res != skip {
			failures = append(failures, name)
		}
	}
	r.list(fmt.Sprintf("Failed on %v", flavor), failures)
	r.outputs(innermost(failures), o.Results)
	r.notRun()
}

// both reports on the fork in comparison with stock.
func (r report) both(stock, fork outing, v verdict) {
	r.table(map[stack.Flavor]outing{stack.Stock: stock, stack.Fork: fork}, stack.Stock, stack.Fork)
	r.trouble(stack.Stock, stock)
	r.trouble(stack.Fork, fork)
	if v.hopeless {
		fmt.Fprintf(r.out, "\nMore than %d tests are worse on the fork; none was run again.\n", maxChances)
	}
	r.list("Fork worse: stock passes, the fork does not", v.failed)
	latest := results{}
	for _, name := range v.failed {
		latest[name] = fork.Results[name]
		if again, ok := v.again[name]; ok {
			latest[name] = again
		}
	}
	r.outputs(innermost(v.failed), latest)
	r.list("Flaky: alone, stock does not pass either (not judged)", v.flaky)
	r.list("Passed on the fork when run alone", v.recovered)
	r.list("Fork better: stock does not pass (not judged)", v.better)
	if len(v.neither) > 0 {
		fmt.Fprintf(r.out, "\nNeither passes (not judged): %d tests\n", len(v.neither))
	}
	r.notRun()
}

func (r report) table(outings map[stack.Flavor]outing, flavors ...stack.Flavor) {
	fmt.Fprintf(r.out, "\nSuite %s (%s)\n", r.suite.name, r.suite.pkg)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tpass\tfail\tskip\ttime\t")
	for _, flavor := range flavors {
		o := outings[flavor]
		count := o.Results.count()
		took := time.Duration(o.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "%v\t%d\t%d\t%d\t%v\t\n", flavor, count.passed, count.failed, count.skipped, took)
	}
	w.Flush()
}

func (r report) trouble(flavor stack.Flavor, o outing) {
	for _, t := range o.Trouble {
		fmt.Fprintf(r.out, "\nTrouble on %v: %s\n", flavor, indent(t))
	}
	if o.Partial {
		fmt.Fprintf(r.out, "\nNot all tests of %v have had their turn.\n", flavor)
	}
}

func (r report) list(title string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(r.out, "\n%s:\n", title)
	for _, name := range names {
		fmt.Fprintln(r.out, "  "+name)
	}
}

// outputs shows how tests failed. Those that they are part of need not be told:
// they failed with them.
func (r report) outputs(names []string, res results) {
	for _, name := range names {
		fmt.Fprintf(r.out, "\n--- %s: %s\n", name, explain(res[name]))
		for _, line := range res[name].Output {
			fmt.Fprintln(r.out, "    "+line)
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(r.out, "\nAll output is in %s\n", r.logs)
	}
}

func explain(res result) string {
	what := map[outcome]string{"": "did not run", pass: "passed", fail: "failed", skip: "was skipped"}[res.Outcome]
	if res.Note != "" {
		what += ", " + res.Note
	}
	return what
}

func (r report) notRun() {
	for _, l := range r.suite.leftOut {
		fmt.Fprintf(r.out, "\nNever run: %s (%s)\n", l.pattern, l.reason)
	}
	fmt.Fprintln(r.out)
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
