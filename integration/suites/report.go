package suites

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints what came of a suite.
type report struct {
	suite Suite
	out   io.Writer
	logs  string
}

// failures lists all tests that did not pass on a set-up that is not judged.
func (r report) failures(setup string, o outing) {
	var failures []string
	for _, name := range o.Results.names() {
		if res := o.Results[name].Outcome; res != pass && res != skip {
			failures = append(failures, name)
		}
	}
	r.list("Failed on "+setup, failures)
	r.outputs(innermost(failures), o.Results)
}

// verdict reports on a set-up in comparison with stock.
func (r report) verdict(setup string, o outing, v verdict) {
	if v.hopeless {
		fmt.Fprintf(r.out, "\nMore than %d tests are worse on %s; none was run again.\n", maxChances, setup)
	}
	r.list(setup+" worse: stock passes, "+setup+" does not", v.failed)
	latest := results{}
	for _, name := range v.failed {
		latest[name] = o.Results[name]
		if again, ok := v.again[name]; ok {
			latest[name] = again
		}
	}
	r.outputs(innermost(v.failed), latest)
	r.list("Flaky: alone, stock does not pass either (not judged)", v.flaky)
	r.list("Passed on "+setup+" when run alone", v.recovered)
	r.list(setup+" better: stock does not pass (not judged)", v.better)
	r.list("Neither stock nor "+setup+" passes (not judged)", v.neither)
	fmt.Fprintf(r.out, "\n%s: %v\n", setup, v.count())
}

func (r report) table(outings map[string]outing, setups []string) {
	fmt.Fprintf(r.out, "\nSuite %s (%s)\n", r.suite.Name, r.suite.Package)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tpass\tfail\tskip\ttime\t")
	for _, setup := range setups {
		o := outings[setup]
		count := o.Results.count()
		took := time.Duration(o.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t\n", setup, count.Passed, count.Failed, count.Skipped, took)
	}
	w.Flush()
}

func (r report) trouble(setup string, o outing) {
	for _, t := range o.Trouble {
		fmt.Fprintf(r.out, "\nTrouble on %s: %s\n", setup, indent(t))
	}
	if o.Partial {
		fmt.Fprintf(r.out, "\nNot all tests of %s have had their turn.\n", setup)
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
	for _, l := range r.suite.LeftOut {
		fmt.Fprintf(r.out, "\nNever run: %s (%s)\n", l.Pattern, l.Reason)
	}
	fmt.Fprintln(r.out)
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
