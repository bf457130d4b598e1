package suites

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Rig is a place where a suite's tests can run: daemons of one set-up.
type Rig interface {
	// Command prepares the test binary with flags of package testing.
	Command(ctx context.Context, flags ...string) *exec.Cmd
	// Died says which daemon is dead, and how its log ends; it is empty if all
	// live.
	Died() string
	// Close saves the daemons' logs in files that begin with prefix, and takes the
	// rig down.
	Close(prefix string) error
}

// Campaign runs one suite on stock and on other set-ups, and judges those by it.
type Campaign struct {
	Suite Suite
	// Stock is the name of the set-up that says what must pass; empty if nothing is
	// judged.
	Stock string
	// Others are the names of the set-ups that are judged.
	Others []string
	// Start makes a rig of a set-up. It may be called for two at the same time.
	Start func(ctx context.Context, setup string) (Rig, error)
	// Key returns all that stock's results depend on besides the selection of tests
	// and the kernel: values, and paths of files.
	Key func() (values, files []string, err error)

	// Logs is the folder of logs and of stock's results, and Prefix what the
	// names of their files begin with.
	Logs, Prefix string
	Out          io.Writer
	Options      Options

	saying sync.Mutex // held while Out is written

	// rigs for tests that are run alone.
	rigs map[string]Rig
}

// outing is a run of the suite on one set-up, with the further runs of the
// binary that it took.
type outing struct {
	Results results
	Seconds float64
	Made    time.Time
	// Trouble tells of every bad end.
	Trouble []string `json:",omitempty"`
	// Partial is set if there was no time for all tests, or a daemon had died.
	Partial bool `json:",omitempty"`
}

// Run runs the suite on all set-ups and reports. The tally is that of the judged
// set-ups together; without stock it counts what the others did.
func (c *Campaign) Run(ctx context.Context) (total Tally, err error) {
	if err := os.MkdirAll(c.Logs, 0o755); err != nil {
		return Tally{}, fmt.Errorf("make folder for logs: %w", err)
	}
	c.Suite = c.Options.chosen(c.Suite)
	c.rigs = map[string]Rig{}
	defer func() { err = errors.Join(err, c.closeRigs()) }()

	rep := report{suite: c.Suite, out: c.Out, logs: c.Logs}
	setups := c.Others
	if c.Stock != "" {
		setups = append([]string{c.Stock}, c.Others...)
	}
	outings, err := c.firsts(ctx, setups)
	if err != nil {
		return Tally{}, err
	}
	rep.table(outings, setups)
	for _, setup := range setups {
		rep.trouble(setup, outings[setup])
	}
	if c.Stock == "" || len(c.Others) == 0 {
		for _, setup := range setups {
			rep.failures(setup, outings[setup])
			total.Add(outings[setup].Results.count())
		}
		rep.notRun()
		return total, nil
	}
	for _, setup := range c.Others {
		v, err := c.judge(ctx, setup, outings[c.Stock], outings[setup])
		if err != nil {
			return total, err
		}
		if len(v.passed)+len(v.worse) == 0 {
			return total, fmt.Errorf("%s passes none of the tests, so nothing is judged: see %s", c.Stock, c.log(c.Stock, ".log"))
		}
		rep.verdict(setup, outings[setup], v)
		total.Add(v.count())
	}
	rep.notRun()
	return total, nil
}

// judge compares a set-up with stock.
func (c *Campaign) judge(ctx context.Context, setup string, stock, own outing) (verdict, error) {
	must := slices.Clone(c.Suite.Must)
	if c.Suite.Run != "" { // perhaps without these
		must = slices.DeleteFunc(must, func(name string) bool { return own.Results[name].Outcome == "" })
	}
	return settle(ctx, compare(stock.Results, own.Results, must), setup, c.Stock, c.alone)
}

// log is a path of a log of this suite on a set-up.
func (c *Campaign) log(setup, what string) string {
	return filepath.Join(c.Logs, fmt.Sprintf("%s-%s-%s%s", c.Prefix, c.Suite.Name, setup, what))
}

// key of stock's results.
func (c *Campaign) key() (string, error) {
	values, files, err := c.Key()
	if err != nil {
		return "", fmt.Errorf("find out what %s's results depend on: %w", c.Stock, err)
	}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return "", fmt.Errorf("find out kernel: %w", err)
	}
	sel := c.Suite.selection()
	return fingerprint(append(values, unix.ByteSliceToString(kernel.Release[:]), c.Suite.Package, sel.run, sel.skip), files...)
}

// firsts runs the suite on all set-ups, on two at a time: tests of daemons wait more
// than they compute. Verbose output of two would be mixed, so then it is one at a time.
func (c *Campaign) firsts(ctx context.Context, setups []string) (map[string]outing, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	if c.Options.Verbose {
		group.SetLimit(1)
	}
	var mu sync.Mutex
	outings := map[string]outing{}
	for _, setup := range setups {
		group.Go(func() error {
			o, err := c.first(ctx, setup)
			if err != nil {
				return fmt.Errorf("%s: %w", setup, err)
			}
			mu.Lock()
			defer mu.Unlock()
			outings[setup] = o
			return nil
		})
	}
	return outings, group.Wait()
}

// say tells what happens. Set-ups that run side by side take turns.
func (c *Campaign) say(format string, args ...any) {
	c.saying.Lock()
	defer c.saying.Unlock()
	fmt.Fprintf(c.Out, format+"\n", args...)
}

// first runs the suite on a set-up, or takes stock's results from an earlier
// time.
func (c *Campaign) first(ctx context.Context, setup string) (outing, error) {
	if setup != c.Stock {
		return c.goOut(ctx, setup)
	}
	file := resultsFile(c.log(setup, ".json"))
	key, err := c.key()
	if err != nil {
		return outing{}, err
	}
	if !c.Options.Fresh {
		if known, ok := file.find(key); ok {
			c.say("%s on %s: taken from %s, made %s (-fresh runs it)",
				c.Suite.Name, setup, file, known.Made.Local().Format(time.DateTime))
			return known, nil
		}
	}
	o, err := c.goOut(ctx, setup)
	if err != nil || o.Partial {
		return o, err
	}
	// Once more, for the run may have made the images.
	if key, err = c.key(); err != nil {
		return outing{}, err
	}
	return o, file.put(key, o)
}

// maxRuns is how often a binary is run until all its tests have had their turn.
const maxRuns = 4

func (c *Campaign) goOut(ctx context.Context, setup string) (outing, error) {
	c.say("%s on %s: running, at most %v; output goes to %s",
		c.Suite.Name, setup, c.Suite.Timeout, c.log(setup, ".log"))
	log, err := os.Create(c.log(setup, ".log"))
	if err != nil {
		return outing{}, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	begun := time.Now()
	o := outing{Results: results{}, Made: begun}
	sel := c.Suite.selection()
	for range maxRuns {
		left := c.Suite.Timeout - time.Since(begun).Round(time.Second)
		rec, how, err := c.runOnce(ctx, setup, sel, left, log, &o)
		if err != nil {
			return o, err
		}
		if len(rec.results) == 0 && len(o.Results) == 0 {
			return o, noTests(how, rec.last)
		}
		o.Results.merge(rec.results)
		o.Partial = how != ""
		if how == "" || len(rec.results) == 0 || time.Since(begun) >= c.Suite.Timeout {
			break
		}
		sel = sel.without(rec.done())
	}
	o.Seconds = time.Since(begun).Seconds()
	return o, nil
}

// runOnce runs the binary on a rig of its own.
func (c *Campaign) runOnce(
	ctx context.Context, setup string, sel selection, whole time.Duration, log io.Writer, o *outing,
) (rec *recording, how ending, err error) {
	r, err := c.Start(ctx, setup)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, r.Close(c.log(setup, ""))) }()
	rec, how, err = c.runOn(ctx, r, sel, whole, log)
	if err != nil {
		return nil, "", err
	}
	if how != "" {
		o.Trouble = append(o.Trouble, fmt.Sprintf("the test binary %s; running were: %s",
			how, orNone(strings.Join(innermost(rec.interrupted), ", "))))
	}
	if died := r.Died(); died != "" {
		o.Trouble = append(o.Trouble, died)
		if how == "" {
			how = "outlived a daemon"
		}
	}
	return rec, how, nil
}

// runOn runs the selected tests on a rig.
func (c *Campaign) runOn(ctx context.Context, r Rig, sel selection, whole time.Duration, log io.Writer) (*recording, ending, error) {
	if c.Options.Verbose {
		log = io.MultiWriter(log, c.Out)
	}
	return record(ctx, r.Command(ctx, sel.flags()...), limits{whole: whole, silence: maxSilence, dying: maxDying}, log)
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
		return errors.New("no test matches -run, or the binary has run none:\n" + strings.Join(last, "\n"))
	}
	return fmt.Errorf("no test has run: the test binary %s:\n%s", how, strings.Join(last, "\n"))
}

// maxAlone limits the run of a single test.
const maxAlone = 10 * time.Minute

// alone runs one test by itself. All tests that are run so share a rig, as long as
// nothing goes wrong with it.
func (c *Campaign) alone(ctx context.Context, setup, name string) (res results, err error) {
	c.say("%s on %s: running %s alone", c.Suite.Name, setup, name)
	r := c.rigs[setup]
	if r == nil {
		if r, err = c.Start(ctx, setup); err != nil {
			return nil, err
		}
		c.rigs[setup] = r
	}
	log, err := os.OpenFile(c.log(setup, ".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	fmt.Fprintf(log, "\n=== %s alone\n", name)
	rec, how, err := c.runOn(ctx, r, selection{run: exactly(name)}, maxAlone, log)
	if err != nil {
		return nil, err
	}
	if how != "" || r.Died() != "" {
		delete(c.rigs, setup)
		err = r.Close(c.log(setup, "-alone"))
	}
	return rec.results, err
}

func (c *Campaign) closeRigs() error {
	var errs []error
	for setup, r := range c.rigs {
		errs = append(errs, r.Close(c.log(setup, "-alone")))
	}
	return errors.Join(errs...)
}
