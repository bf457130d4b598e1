package suites

import (
	"context"
	"maps"
	"slices"
	"strings"
)

const (
	// chances is how often a test is run alone on a set-up that is judged.
	chances = 2
	// maxChances limits for how many tests that is done. If more are worse
	// then it is not bad luck.
	maxChances = 30
)

// alone runs a test by itself.
type alone func(ctx context.Context, setup, name string) (results, error)

// settle gives the tests that are worse on a set-up than on stock their second
// chances.
func settle(ctx context.Context, c comparison, setup, stock string, run alone) (verdict, error) {
	v := verdict{comparison: c, again: results{}}
	if len(innermost(c.worse)) > maxChances {
		v.failed, v.hopeless = c.worse, true
		return v, nil
	}
	j := jury{setup: setup, stock: stock, run: run, state: map[string]state{}, again: v.again, suspect: map[string]bool{}}
	for _, name := range deepestFirst(c.worse) {
		if err := j.decide(ctx, name); err != nil {
			return v, err
		}
	}
	for _, name := range c.worse {
		switch j.state[name] {
		case recovered:
			v.recovered = append(v.recovered, name)
		case flaky:
			v.flaky = append(v.flaky, name)
		default:
			v.failed = append(v.failed, name)
		}
	}
	return v, nil
}

// deepestFirst sorts tests so that each comes after all that are part of it.
func deepestFirst(names []string) []string {
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int {
		return strings.Count(b, "/") - strings.Count(a, "/")
	})
	return sorted
}

// state of a test that was worse than on stock.
type state int

const (
	failed state = iota
	flaky
	recovered
)

// jury decides on tests that were worse, parts before the whole.
type jury struct {
	// setup is the one that is judged.
	setup, stock string

	run   alone
	state map[string]state
	// again has the judged set-up's last results.
	again results
	// suspect are tests that did not pass although the part of them that was run
	// alone did.
	suspect map[string]bool
}

func (j *jury) decide(ctx context.Context, name string) error {
	// A test fails with any of its parts, so it shares the fate of the worst.
	worst, hasParts := recovered, false
	for part, s := range j.state {
		if partOf(part, name) {
			worst, hasParts = min(worst, s), true
		}
	}
	if hasParts && (worst != recovered || !j.suspect[name]) {
		j.state[name] = worst
		return nil
	}
	for range chances {
		res, err := j.run(ctx, j.setup, name)
		if err != nil {
			return err
		}
		maps.Copy(j.again, res)
		if res[name].Outcome == pass {
			j.state[name] = recovered
			j.suspectWhole(name, res)
			return nil
		}
	}
	res, err := j.run(ctx, j.stock, name)
	if err != nil {
		return err
	}
	j.state[name] = failed
	if res[name].Outcome != pass && res.anyNotPassed() {
		j.state[name] = flaky
	}
	return nil
}

func (j *jury) suspectWhole(name string, res results) {
	for other, r := range res {
		if partOf(name, other) && r.Outcome != pass {
			j.suspect[other] = true
		}
	}
}
