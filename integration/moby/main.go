package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/suites"
)

type options struct {
	suites  []suite
	run     string
	timeout time.Duration
	only    string
	fresh   bool
	verbose bool
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "moby:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	count, err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "moby:", err)
		os.Exit(2)
	}
	fmt.Println(count)
	if count.Failed > 0 {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("moby", flag.ContinueOnError)
	names := flags.String("suite", "", "comma-separated `suites`: "+strings.Join(suiteNames(), ", "))
	flags.StringVar(&o.run, "run", "", "run only tests that match this `regexp`, as in go test -run")
	flags.DurationVar(&o.timeout, "timeout", 0, "longest run of a suite on one flavor (default: the suite's own)")
	flags.StringVar(&o.only, "only", "", "run only this `flavor`, fork or stock, and judge nothing")
	flags.BoolVar(&o.fresh, "fresh", false, "run stock even if its results are known")
	flags.BoolVar(&o.verbose, "v", false, "show the output of the tests as they run")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
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
		if o.timeout > 0 {
			s.Timeout = o.timeout
		}
		if o.run != "" {
			s.Run = o.run
		}
		o.suites = append(o.suites, s)
	}
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer) (suites.Tally, error) {
	repo, err := repoRoot()
	if err != nil {
		return suites.Tally{}, err
	}
	bin, err := stack.BinDir()
	if err != nil {
		return suites.Tally{}, err
	}
	if err := needPrograms(bin, o.flavors()); err != nil {
		return suites.Tally{}, err
	}
	if err := stack.FindCRIU(); err != nil {
		return suites.Tally{}, err
	}
	var total suites.Tally
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
	build := line.Dir(filepath.Join(repo, ".build"))
	binary, tree, err := compile(ctx, repo, build, s)
	if err != nil {
		return suites.Tally{}, err
	}
	c := suites.Campaign{
		Suite: s.Suite,
		Start: func(ctx context.Context, setup string) (suites.Rig, error) {
			return newRig(ctx, flavorOf(setup), bin, binary, tree, s)
		},
		Key:  func() (string, error) { return stockKey(bin, binary) },
		Logs: filepath.Join(build, "logs"), Prefix: "moby", Out: out,
		Fresh: o.fresh, Verbose: o.verbose,
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
const surroundings = "4"

// stockKey stands for all that stock's results depend on. The images' files are
// there only once they have been loaded somewhere.
func stockKey(bin, binary string) (string, error) {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return "", fmt.Errorf("find out kernel: %w", err)
	}
	files := []string{binary, filepath.Join(bin, "dockerd-stock")}
	for _, name := range sharedPrograms {
		files = append(files, filepath.Join(bin, name))
	}
	images, err := filepath.Glob(filepath.Join(bin, "images", "*.tar"))
	if err != nil {
		return "", fmt.Errorf("list images: %w", err)
	}
	return suites.Fingerprint([]string{surroundings, unix.ByteSliceToString(kernel.Release[:])}, append(files, images...)...)
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
			return fmt.Errorf("bin/%s is missing: run `make build` first", name)
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

func repoRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "mkdockerd")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in Baleen's repository", start)
		}
	}
}
