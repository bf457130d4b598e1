package main

import "maps"

// comparison of the fork with stock, test by test.
type comparison struct {
	// passed on both.
	passed []string
	// worse are those that stock passes and the fork does not.
	worse []string
	// better are those that the fork passes and stock does not.
	better []string
	// skipped by the fork, and not passed by stock.
	skipped []string
	// neither passes, nor is skipped by the fork.
	neither []string
}

// compare sorts the tests. Those that must pass count as passed by stock: it
// may lack what they test.
func compare(stock, fork results, must []string) comparison {
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
		if fork[name].Outcome == pass {
			c.passed = append(c.passed, name)
		} else {
			c.worse = append(c.worse, name)
		}
	}
	for _, name := range fork.names() {
		if stock[name].Outcome == pass {
			continue
		}
		switch fork[name].Outcome {
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
	// again has the results of the last run alone on the fork.
	again results
	// hopeless is set if too many tests were worse to run them again.
	hopeless bool
}

func (v verdict) count() tally {
	return tally{passed: len(v.passed) + len(v.recovered), failed: len(v.failed), skipped: len(v.skipped)}
}
