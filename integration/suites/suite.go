package suites

import (
	"strings"
	"time"
)

// Suite is the tests of one binary, or a part of them.
type Suite struct {
	// Name is the suite's name in messages and in the names of log files.
	Name string
	// Package is where the tests come from, for people.
	Package string
	// Run selects tests, in the syntax of -test.run; all if it is empty.
	Run string
	// LeftOut are tests that are never run.
	LeftOut []LeftOut
	// Must are tests that count as passed by stock, whatever it does. One that did
	// not run on a set-up is not missed there if Run may have left it out.
	Must []string
	// Timeout limits a run of all the suite's tests on one set-up.
	Timeout time.Duration
}

// LeftOut says why tests are not run. The pattern is in the syntax of -test.skip.
type LeftOut struct{ Pattern, Reason string }

// selection says which tests of a suite to run, in the syntax of -test.run and
// -test.skip.
type selection struct{ run, skip string }

func (s Suite) selection() selection {
	var skip []string
	for _, l := range s.LeftOut {
		skip = append(skip, l.Pattern)
	}
	return selection{run: s.Run, skip: strings.Join(skip, "|")}
}

// without is the selection less the named tests and all that is below them.
func (s selection) without(names []string) selection {
	skip := []string{}
	if s.skip != "" {
		skip = append(skip, s.skip)
	}
	for _, name := range names {
		skip = append(skip, exactly(name))
	}
	return selection{run: s.run, skip: strings.Join(skip, "|")}
}

// flags of a test binary. Its own mode for test2json marks its lines, so that
// what tests print cannot be taken for them.
func (s selection) flags() []string {
	flags := []string{"-test.v=test2json", "-test.timeout=0", "-test.count=1"}
	if s.run != "" {
		flags = append(flags, "-test.run="+s.run)
	}
	if s.skip != "" {
		flags = append(flags, "-test.skip="+s.skip)
	}
	return flags
}
