package main

import (
	"fmt"
	"strings"
	"time"
)

// suite is a package of Moby's tests, or a part of it.
type suite struct {
	name string
	// pkg is the package's folder in Moby's tree.
	pkg string
	// run selects tests unless the caller does, in the syntax of -test.run.
	run string
	// leftOut are tests that are never run.
	leftOut []leftOut
	// lifted are skips that Moby has for all containerd stores, and that are
	// taken out of the tests: the fork must pass these, whatever stock does.
	lifted []liftedSkip
	// daemon is merged into the daemon's configuration.
	daemon map[string]any
	// timeout limits a run of all the suite's tests on one flavor.
	timeout time.Duration
}

// liftedSkip is a line of a test's source that skips it.
type liftedSkip struct{ file, line, test string }

// leftOut says why tests are not run. The pattern is in the syntax of
// -test.skip.
type leftOut struct{ pattern, reason string }

var suites = []suite{
	{name: "image", pkg: "integration/image", timeout: 15 * time.Minute},
	{
		name: "build", pkg: "integration/build", timeout: 15 * time.Minute,
		lifted: []liftedSkip{{
			file: "build_squash_test.go",
			line: "\tskip.If(t, testEnv.UsingSnapshotter(), \"squash is not implemented for containerd image store\")\n",
			test: "TestBuildSquashParent",
		}},
	},
	{
		name: "container", pkg: "integration/container", timeout: 45 * time.Minute,
		leftOut: []leftOut{
			{"^TestNetwork", "they connect to a published port through the machine's own address, and hang where the network leads nowhere; image service and layers play no part"},
		},
	},
	{
		// One test, which wants a daemon of its own kind and CRIU: make criu.
		name: "checkpoint", pkg: "integration/container", run: "^TestCheckpoint$", timeout: 5 * time.Minute,
		daemon: map[string]any{"experimental": true},
		lifted: []liftedSkip{{
			file: "checkpoint_test.go",
			line: "\tt.Skip(\"TestCheckpoint is broken; see https://github.com/moby/moby/issues/38963\")\n",
			test: "TestCheckpoint",
		}},
	},
	{
		// The parts of the large command line suite that are about images and
		// layers. Diff and export have moved to the suite container.
		name: "cli", pkg: "integration-cli", timeout: 60 * time.Minute,
		run: "^TestDockerCLI(Commit|Build|Images|History|Rmi|SaveLoad|Ps|Inspect)Suite$",
	},
}

// must are the tests that the fork has to pass whatever stock does.
func (s suite) must() []string {
	var names []string
	for _, l := range s.lifted {
		names = append(names, l.test)
	}
	return names
}

func suiteNames() []string {
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

func findSuite(name string) (suite, error) {
	for _, s := range suites {
		if s.name == name {
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("no suite %q: there are %s", name, strings.Join(suiteNames(), ", "))
}

// selection says which tests of a suite to run, in the syntax of -test.run and
// -test.skip.
type selection struct{ run, skip string }

func (s suite) selection() selection {
	var skip []string
	for _, l := range s.leftOut {
		skip = append(skip, l.pattern)
	}
	return selection{run: s.run, skip: strings.Join(skip, "|")}
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

func (s selection) flags() []string {
	var flags []string
	if s.run != "" {
		flags = append(flags, "-test.run="+s.run)
	}
	if s.skip != "" {
		flags = append(flags, "-test.skip="+s.skip)
	}
	return flags
}
