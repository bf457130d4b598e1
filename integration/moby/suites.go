package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/suites"
)

// suite is a package of Moby's tests, or a part of it.
type suite struct {
	suites.Suite
	// lifted are skips that Moby has for all containerd stores, and that are
	// taken out of the tests: the fork must pass these, whatever stock does.
	lifted []liftedSkip
	// client is the docker command of bin that the tests of an engine line run, if not
	// that of the line.
	client map[engine.Line]string
	// daemon is merged into the daemon's configuration.
	daemon map[string]any
}

// liftedSkip is a line of a test's source that skips it.
type liftedSkip struct{ file, line, test string }

var known = []suite{
	{Suite: suites.Suite{Name: "image", Package: "integration/image", Timeout: 15 * time.Minute}},
	{
		Suite: suites.Suite{Name: "build", Package: "integration/build", Timeout: 15 * time.Minute},
		lifted: []liftedSkip{{
			file: "build_squash_test.go",
			line: "\tskip.If(t, testEnv.UsingSnapshotter(), \"squash is not implemented for containerd image store\")\n",
			test: "TestBuildSquashParent",
		}},
	},
	{Suite: suites.Suite{
		Name: "container", Package: "integration/container", Timeout: 45 * time.Minute,
		LeftOut: []suites.LeftOut{{
			Pattern: "^TestNetwork",
			Reason:  "they connect to a published port through the machine's own address, and hang where the network leads nowhere; image service and layers play no part",
		}},
	}},
	// Mounts of images, among others.
	{Suite: suites.Suite{Name: "volume", Package: "integration/volume", Timeout: 10 * time.Minute}},
	// What images take on disk, and their events, among others.
	{Suite: suites.Suite{Name: "system", Package: "integration/system", Timeout: 10 * time.Minute}},
	{
		// One test, which wants a daemon of its own kind and CRIU: make criu.
		Suite:  suites.Suite{Name: "checkpoint", Package: "integration/container", Run: "^TestCheckpoint$", Timeout: 5 * time.Minute},
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
		Suite: suites.Suite{
			Name: "cli", Package: "integration-cli", Timeout: 60 * time.Minute,
			Run: "^TestDockerCLI(Commit|Build|Images|History|Rmi|SaveLoad|Import|Create|Cp|Prune|Start|Ps|Inspect)Suite$|^TestDockerRegistrySuite$",
		},
		// As DOCKERCLI_INTEGRATION_VERSION in Moby's Dockerfile has it. The module
		// proxy lacks that of 28.5, which is 18.06.3.
		client: map[engine.Line]string{engine.V29: "docker-25"},
	},
}

func suiteNames() []string {
	var names []string
	for _, s := range known {
		names = append(names, s.Name)
	}
	return names
}

func findSuite(name string) (suite, error) {
	for _, s := range known {
		if s.Name == name {
			for _, l := range s.lifted {
				s.Must = append(s.Must, l.test)
			}
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("no suite %q: there are %s", name, strings.Join(suiteNames(), ", "))
}
