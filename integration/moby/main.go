package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/suites"
)

type options struct {
	suites.Options
	suites []suite
	only   string
}

func main() { suites.Main("moby", run) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("moby", flag.ContinueOnError)
	names := flags.String("suite", "", "comma-separated `suites`: "+strings.Join(suiteNames(), ", "))
	flags.StringVar(&o.only, "only", "", "run only this `flavor`, fork or stock, and judge nothing")
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	if o.only != "" && o.only != stack.Fork.String() && o.only != stack.Stock.String() {
		return o, fmt.Errorf("-only %s: it must be fork or stock", o.only)
	}
	if *names == "" {
		return o, fmt.Errorf("which -suite? One or more of %s", strings.Join(suiteNames(), ", "))
	}
	for name := range strings.SplitSeq(*names, ",") {
		s, err := findSuite(name)
		if err != nil {
			return o, err
		}
		o.suites = append(o.suites, s)
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
	bin, err := stack.BinDir()
	if err != nil {
		return total, err
	}
	if err := needPrograms(bin, o.flavors()); err != nil {
		return total, err
	}
	if err := stack.FindCRIU(); err != nil {
		return total, err
	}
	for _, s := range o.suites {
		count, err := o.runSuite(ctx, s, repo, bin, out)
		if err != nil {
			return total, fmt.Errorf("suite %s: %w", s.Name, err)
		}
		total.Add(count)
	}
	return total, nil
}

func (o options) runSuite(ctx context.Context, s suite, repo, bin string, out io.Writer) (suites.Tally, error) {
	line, err := engine.Chosen()
	if err != nil {
		return suites.Tally{}, err
	}
	at := place{line: line, repo: repo, bin: bin, dir: line.Dir(filepath.Join(repo, ".build"))}
	made, err := compile(ctx, at, s)
	if err != nil {
		return suites.Tally{}, err
	}
	c := suites.Campaign{
		Suite: s.Suite,
		Start: func(ctx context.Context, setup string) (suites.Rig, error) {
			return newRig(ctx, flavorOf(setup), bin, made, s)
		},
		Key:  func() (values, files []string, err error) { return stockKey(bin, made) },
		Logs: filepath.Join(at.dir, "logs"), Prefix: "moby", Out: out,
		Options: o.Options,
	}
	for _, flavor := range o.flavors() {
		if flavor == stack.Stock {
			c.Stock = flavor.String()
		} else {
			c.Others = append(c.Others, flavor.String())
		}
	}
	return c.Run(ctx)
}

func flavorOf(setup string) stack.Flavor {
	if setup == stack.Stock.String() {
		return stack.Stock
	}
	return stack.Fork
}

// surroundings is part of the key of stock's results. Raise it when the harness or
// the environment of the tests changes, for then the results may.
const surroundings = "5"

// stockKey has all that stock's results depend on. The images' files are there only
// once they have been loaded somewhere.
func stockKey(bin string, made compiled) (values, files []string, err error) {
	files = []string{made.binary, made.client, filepath.Join(bin, "dockerd-stock")}
	for _, name := range sharedPrograms {
		files = append(files, filepath.Join(bin, name))
	}
	images, err := filepath.Glob(filepath.Join(bin, "images", "*.tar"))
	if err != nil {
		return nil, nil, fmt.Errorf("list images: %w", err)
	}
	return []string{surroundings}, append(files, images...), nil
}

// flavors that the options ask for.
func (o options) flavors() []stack.Flavor {
	switch o.only {
	case stack.Fork.String():
		return []stack.Flavor{stack.Fork}
	case stack.Stock.String():
		return []stack.Flavor{stack.Stock}
	}
	return []stack.Flavor{stack.Stock, stack.Fork}
}

// dockerdOf names a flavor's program in bin.
func dockerdOf(flavor stack.Flavor) string {
	if flavor == stack.Stock {
		return "dockerd-stock"
	}
	return "dockerd"
}

// needPrograms looks for all of them first: stock may take half an hour before
// it would turn out that the fork is missing.
func needPrograms(bin string, flavors []stack.Flavor) error {
	names := sharedPrograms
	for _, flavor := range flavors {
		names = append([]string{dockerdOf(flavor)}, names...)
	}
	for _, name := range names {
		_, err := os.Stat(filepath.Join(bin, name))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is missing: run `make build` first", filepath.Join(bin, name))
		}
		if err != nil {
			return fmt.Errorf("look for programs: %w", err)
		}
	}
	return nil
}

// sharedPrograms are what both flavors run with.
var sharedPrograms = []string{
	"docker", "docker-proxy", "docker-init", "containerd", "containerd-shim-runc-v2", "runc",
}
