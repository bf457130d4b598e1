package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baleen-project/baleen/integration/stack"
)

// campaign is one suite on the flavors that the options ask for.
type campaign struct {
	suite   suite
	options options
	repo    string
	bin     string
	out     io.Writer

	binary, tree string
	// rigs for tests that are run alone.
	rigs map[stack.Flavor]*rig
}

// outing is a run of the suite on one flavor, with the further runs of the
// binary that it took.
type outing struct {
	Results results
	Seconds float64
	Made    time.Time
	// Trouble tells of every bad end.
	Trouble []string `json:",omitempty"`
	// Partial is set if there was no time for all tests, or dockerd had died.
	Partial bool `json:",omitempty"`
}

func (c *campaign) run(ctx context.Context) (count tally, err error) {
	if c.binary, c.tree, err = compile(ctx, c.repo, c.suite); err != nil {
		return tally{}, err
	}
	if err := os.MkdirAll(c.logs(), 0o755); err != nil {
		return tally{}, fmt.Errorf("make folder for logs: %w", err)
	}
	c.rigs = map[stack.Flavor]*rig{}
	defer func() { err = errors.Join(err, c.closeRigs()) }()

	rep := report{suite: c.suite, out: c.out, logs: c.logs()}
	outings := map[stack.Flavor]outing{}
	for _, flavor := range c.options.flavors() {
		if outings[flavor], err = c.first(ctx, flavor); err != nil {
			return tally{}, fmt.Errorf("%v: %w", flavor, err)
		}
	}
	if c.options.only != "" {
		flavor := c.options.flavors()[0]
		rep.single(flavor, outings[flavor])
		return outings[flavor].Results.count(), nil
	}
	must := c.suite.must()
	if c.options.run != "" { // perhaps without these
		must = slices.DeleteFunc(must, func(name string) bool { return outings[stack.Fork].Results[name].Outcome == "" })
	}
	comparison := compare(outings[stack.Stock].Results, outings[stack.Fork].Results, must)
	v, err := settle(ctx, comparison, c.alone)
	if err != nil {
		return tally{}, err
	}
	rep.both(outings[stack.Stock], outings[stack.Fork], v)
	return v.count(), nil
}

func (c *campaign) logs() string { return filepath.Join(c.repo, ".build", "logs") }

func (c *campaign) log(flavor stack.Flavor, what string) string {
	return filepath.Join(c.logs(), fmt.Sprintf("moby-%s-%v%s", c.suite.name, flavor, what))
}

// first runs the suite on a flavor, or takes stock's results from an earlier
// time.
func (c *campaign) first(ctx context.Context, flavor stack.Flavor) (outing, error) {
	if flavor != stack.Stock {
		return c.goOut(ctx, flavor)
	}
	file := resultsFile(c.log(flavor, ".json"))
	key, err := stockKey(c.bin, c.binary, c.suite)
	if err != nil {
		return outing{}, err
	}
	if !c.options.fresh {
		if known, ok := file.find(key); ok {
			fmt.Fprintf(c.out, "%s on stock: taken from %s, made %s (-fresh runs it)\n",
				c.suite.name, file, known.Made.Local().Format(time.DateTime))
			return known, nil
		}
	}
	o, err := c.goOut(ctx, flavor)
	if err != nil || o.Partial {
		return o, err
	}
	// Once more, for the run may have made the images.
	if key, err = stockKey(c.bin, c.binary, c.suite); err != nil {
		return outing{}, err
	}
	return o, file.put(key, o)
}

// maxRuns is how often a binary is run until all its tests have had their turn.
const maxRuns = 4

func (c *campaign) goOut(ctx context.Context, flavor stack.Flavor) (outing, error) {
	fmt.Fprintf(c.out, "%s on %v: running, at most %v; output goes to %s\n",
		c.suite.name, flavor, c.suite.timeout, c.log(flavor, ".log"))
	log, err := os.Create(c.log(flavor, ".log"))
	if err != nil {
		return outing{}, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	begun := time.Now()
	o := outing{Results: results{}, Made: begun}
	sel := c.suite.selection()
	for range maxRuns {
		left := c.suite.timeout - time.Since(begun).Round(time.Second)
		rec, how, err := c.runOnce(ctx, flavor, sel, left, log, &o)
		if err != nil {
			return o, err
		}
		if len(rec.results) == 0 && len(o.Results) == 0 {
			return o, noTests(how, rec.last)
		}
		o.Results.merge(rec.results)
		o.Partial = how != ""
		if how == "" || len(rec.results) == 0 || time.Since(begun) >= c.suite.timeout {
			break
		}
		sel = sel.without(rec.done())
	}
	o.Seconds = time.Since(begun).Seconds()
	return o, nil
}

// runOnce runs the binary on a stack of its own.
func (c *campaign) runOnce(
	ctx context.Context, flavor stack.Flavor, sel selection, whole time.Duration, log io.Writer, o *outing,
) (rec *recording, how ending, err error) {
	r, err := newRig(ctx, flavor, c.bin, c.binary, c.tree, c.suite)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, r.close(c.log(flavor, "-dockerd.log"))) }()
	rec, how, err = r.run(ctx, sel, whole, c.tee(log))
	if err != nil {
		return nil, "", err
	}
	if how != "" {
		o.Trouble = append(o.Trouble, fmt.Sprintf("the test binary %s; running were: %s",
			how, orNone(strings.Join(innermost(rec.interrupted), ", "))))
	}
	if !r.alive() {
		o.Trouble = append(o.Trouble, "dockerd has died; its log ends with:\n"+r.stack.LogTail(stack.Dockerd, 20))
		if how == "" {
			how = "outlived dockerd"
		}
	}
	return rec, how, nil
}

func (c *campaign) tee(log io.Writer) io.Writer {
	if c.options.verbose {
		return io.MultiWriter(log, c.out)
	}
	return log
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// noTests explains a run without any results.
func noTests(how ending, last []string) error {
	if how == "" {
		return errors.New("no test matches -run")
	}
	return fmt.Errorf("no test has run: the test binary %s:\n%s", how, strings.Join(last, "\n"))
}

// maxAlone limits the run of a single test.
const maxAlone = 10 * time.Minute

// alone runs one test by itself. All tests that are run so share a stack, as
// long as nothing goes wrong with it.
func (c *campaign) alone(ctx context.Context, flavor stack.Flavor, name string) (res results, err error) {
	fmt.Fprintf(c.out, "%s on %v: running %s alone\n", c.suite.name, flavor, name)
	r := c.rigs[flavor]
	if r == nil {
		if r, err = newRig(ctx, flavor, c.bin, c.binary, c.tree, c.suite); err != nil {
			return nil, err
		}
		c.rigs[flavor] = r
	}
	log, err := os.OpenFile(c.log(flavor, ".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	fmt.Fprintf(log, "\n=== %s alone\n", name)
	rec, how, err := r.run(ctx, selection{run: exactly(name)}, maxAlone, c.tee(log))
	if err != nil {
		return nil, err
	}
	if how != "" || !r.alive() {
		delete(c.rigs, flavor)
		err = r.close(c.log(flavor, "-alone-dockerd.log"))
	}
	return rec.results, err
}

func (c *campaign) closeRigs() error {
	var errs []error
	for flavor, r := range c.rigs {
		errs = append(errs, r.close(c.log(flavor, "-alone-dockerd.log")))
	}
	return errors.Join(errs...)
}
