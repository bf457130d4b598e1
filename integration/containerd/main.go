package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/suites"
)

type options struct {
	versions []version
	// setups are those besides stock. If there are none, stock's failures are
	// listed.
	setups  []string
	stock   bool
	run     string
	timeout time.Duration
	fresh   bool
	verbose bool
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	count, err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		os.Exit(2)
	}
	fmt.Println(count)
	if count.Failed > 0 {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("containerd", flag.ContinueOnError)
	of := flags.String("version", strings.Join(versionNames(), ","), "comma-separated `versions` of containerd")
	on := flags.String("on", strings.Join(setupNames(), ","), "comma-separated `set-ups`; without stock nothing is judged")
	flags.StringVar(&o.run, "run", "", "run only tests that match this `regexp`, as in go test -run")
	flags.DurationVar(&o.timeout, "timeout", 20*time.Minute, "longest run of the tests on one set-up")
	flags.BoolVar(&o.fresh, "fresh", false, "run stock even if its results are known")
	flags.BoolVar(&o.verbose, "v", false, "show the output of the tests as they run")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
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

func run(ctx context.Context, o options, out io.Writer) (total suites.Tally, err error) {
	repo, err := repoRoot()
	if err != nil {
		return total, err
	}
	bin := filepath.Join(repo, "bin")
	registry := store(filepath.Join(repo, ".build", "suites", "registry"))
	busybox, err := fill(ctx, registry)
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
		p := plant{version: v, bin: bin, registry: registry, identity: id}
		if p.binary, p.tree, err = compile(ctx, repo, v, busybox); err != nil {
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

// fill writes all images, and returns the digest of the one that a test wants by
// digest.
func fill(ctx context.Context, registry store) (busybox digest.Digest, err error) {
	all, err := images(ctx)
	if err != nil {
		return "", err
	}
	for i, image := range all {
		d, err := image.put(registry)
		if err != nil {
			return "", err
		}
		if i == 0 {
			busybox = d
		}
	}
	return busybox, nil
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
			Run: o.run, Timeout: o.timeout, LeftOut: leftOut,
		},
		Others: o.setups,
		Start:  func(ctx context.Context, setup string) (suites.Rig, error) { return p.start(ctx, setup) },
		Key:    p.key,
		Logs:   filepath.Join(repo, ".build", "logs"), Prefix: "containerd", Out: out,
		Fresh: o.fresh, Verbose: o.verbose,
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

// key stands for all that stock's results depend on. The images are in the test
// binary by the digest of one of them.
func (p plant) key() (string, error) {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return "", fmt.Errorf("find out kernel: %w", err)
	}
	programs := p.version.line.Dir(p.bin)
	files := []string{
		p.binary, filepath.Join(programs, p.version.stock), filepath.Join(programs, "containerd-shim-runc-v2"),
		filepath.Join(p.bin, "runc"), filepath.Join(p.bin, "registry"),
	}
	return suites.Fingerprint([]string{surroundings, unix.ByteSliceToString(kernel.Release[:])}, files...)
}

// repoRoot returns the repository that the working directory is in.
func repoRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "mkstack")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in Baleen's repository", start)
		}
	}
}
