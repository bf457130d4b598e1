package suites

import "maps"

// comparison of a set-up with stock, test by test.
type comparison struct {
	// passed on both.
	passed []string
	// worse are those that stock passes and the set-up does not.
	worse []string
	// better are those that the set-up passes and stock does not.
	better []string
	// skipped by the set-up, and not passed by stock.
	skipped []string
	// neither passes, nor is skipped by the set-up.
	neither []string
}

// compare sorts the tests. Those that must pass count as passed by stock: it
// may lack what they test.
func compare(stock, own results, must []string) comparison {
	stock = maps.Clone(stock)
	for _, name := range must {
		r := stock[name]
		r.Outcome = pass
		stock[name] = r
	}
	var c comparison
	for _, name := range stock.names() {
		if stock[name].Outcome != pass {
			continue
		}
		if own[name].Outcome == pass {
			c.passed = append(c.passed, name)
		} else {
			c.worse = append(c.worse, name)
		}
	}
	for _, name := range own.names() {
		if stock[name].Outcome == pass {
			continue
		}
		switch own[name].Outcome {
		case pass:
			c.better = append(c.better, name)
		case skip:
			c.skipped = append(c.skipped, name)
		default:
			c.neither = append(c.neither, name)
		}
	}
	return c
}

// verdict is a comparison after the tests that were worse had their second
// chance.
type verdict struct {
	comparison
	// failed are worse for good.
	failed []string
	// recovered are those that passed when run again.
	recovered []string
	// flaky are those that stock did not pass alone either.
	flaky []string
	// again has the results of the last run alone on the set-up.
	again results
	// hopeless is set if too many tests were worse to run them again.
	hopeless bool
}

func (v verdict) count() Tally {
	return Tally{Passed: len(v.passed) + len(v.recovered), Failed: len(v.failed), Skipped: len(v.skipped)}
}
