package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/suites"
)

type options struct {
	suites.Options
	versions []version
	// setups are those besides stock. If there are none, stock's failures are
	// listed.
	setups []string
	stock  bool
}

func main() { suites.Main("containerd", run) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("containerd", flag.ContinueOnError)
	of := flags.String("version", strings.Join(versionNames(), ","), "comma-separated `versions` of containerd")
	on := flags.String("on", strings.Join(setupNames(), ","), "comma-separated `set-ups`; without stock nothing is judged")
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*of, ",") {
		v, err := findVersion(name)
		if err != nil {
			return o, err
		}
		o.versions = append(o.versions, v)
	}
	for name := range strings.SplitSeq(*on, ",") {
		s, err := findSetup(name)
		if err != nil {
			return o, err
		}
		if s.name == stock {
			o.stock = true
		} else {
			o.setups = append(o.setups, s.name)
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) (total suites.Tally, err error) {
	o, err := parse(args)
	if err != nil {
		return total, err
	}
	repo, err := stack.RepoRoot()
	if err != nil {
		return total, err
	}
	common, err := stack.BinDir()
	if err != nil {
		return total, err
	}
	registry := store(filepath.Join(repo, ".build", "suites", "registry"))
	digests, err := fill(ctx, registry)
	if err != nil {
		return total, fmt.Errorf("make images: %w", err)
	}
	id, err := newIdentity(hosts...)
	if err != nil {
		return total, err
	}
	for _, v := range o.versions {
		if err := o.build(ctx, repo, v); err != nil {
			return total, err
		}
		p := plant{version: v, bin: v.line.Dir(filepath.Join(repo, "bin")), common: common, registry: registry, images: digests, identity: id}
		if p.binary, p.tree, err = compile(ctx, repo, v, digests[0]); err != nil {
			return total, err
		}
		count, err := o.campaign(p, repo, out).Run(ctx)
		if err != nil {
			return total, fmt.Errorf("containerd %s: %w", v.name, err)
		}
		total.Add(count)
	}
	return total, nil
}

// fill writes all images, and returns their digests. The first one is of the image
// that a test wants by digest.
func fill(ctx context.Context, registry store) ([]digest.Digest, error) {
	all, err := images(ctx)
	if err != nil {
		return nil, err
	}
	var digests []digest.Digest
	for _, image := range all {
		d, err := image.put(registry)
		if err != nil {
			return nil, err
		}
		digests = append(digests, d)
	}
	return digests, nil
}

// build brings the programs of a version up to date. The go command's cache makes
// this cheap when nothing has changed.
func (o options) build(ctx context.Context, repo string, v version) error {
	// A shim beside containerd is of its version.
	programs := []string{v.stock}
	if v.line != engine.Default {
		programs = append(programs, "containerd-shim-runc-v2")
	}
	if slices.Contains(o.setups, "linked") {
		programs = append(programs, v.linked)
	}
	if _, err := v.mkstack(ctx, repo, programs...); err != nil {
		return fmt.Errorf("build containerd %s: %w", v.name, err)
	}
	return nil
}

func (o options) campaign(p plant, repo string, out io.Writer) *suites.Campaign {
	c := &suites.Campaign{
		Suite: suites.Suite{
			Name: p.version.name, Package: "github.com/containerd/containerd/v2/" + testsPackage + " of containerd " + p.version.name,
			Timeout: 20 * time.Minute, LeftOut: leftOut,
		},
		Others: o.setups,
		Start:  func(ctx context.Context, setup string) (suites.Rig, error) { return p.start(ctx, setup) },
		Key:    p.key,
		Logs:   filepath.Join(repo, ".build", "logs"), Prefix: "containerd", Out: out,
		Options: o.Options,
	}
	if o.stock {
		c.Stock = stock
	}
	return c
}

// leftOut are tests that stock does not pass either, or by chance alone.
var leftOut = []suites.LeftOut{
	{
		Pattern: "^TestBindLowPortNonOpt$",
		Reason:  "it waits until SIGTERM ends the first process of a container, busybox's nc, which Debian's ignores there; images and snapshots play no part",
	},
	{
		Pattern: "^TestShimDoesNotLeakPipes$|^TestShimOOMScore$",
		Reason:  "they look at the process of a daemon that the tests have started, and panic if that is another's",
	},
	{
		Pattern: "^TestContentClient$/^CommitErrorState$",
		Reason:  "it fails by chance on stock: containerd's content store writes the time of a write that is closed (plugins/content/local, writer.Close) into the folder that its Abort is removing",
	},
}

// surroundings is part of the key of stock's results. Raise it when the harness or
// the environment of the tests changes, for then the results may.
const surroundings = "1"

// key has all that stock's results depend on.
func (p plant) key() (values, files []string, err error) {
	values = []string{surroundings}
	for _, d := range p.images {
		values = append(values, d.String())
	}
	files = []string{p.binary, filepath.Join(p.bin, p.version.stock), filepath.Join(p.common, "registry")}
	for _, name := range []string{"containerd-shim-runc-v2", "runc"} {
		path, err := p.program(name)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, path)
	}
	return values, files, nil
}
