package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
)

type options struct {
	line                 engine.Line
	stock                bool
	source, release      string
	diff, tree, refresh  bool
	vet, types           bool
	check, test, overlay string
	build, output        string
}

func main() {
	var o options
	name := flag.String("engine", os.Getenv(engine.Variable), "engine `line` to build, 28.5 or 29")
	flag.BoolVar(&o.stock, "stock", false, "leave out Baleen's patches")
	flag.StringVar(&o.source, "source", "", "Moby's source in a `folder`, instead of the pinned module")
	flag.StringVar(&o.release, "release", "", "with -source: the `version` that dockerd names, instead of that of the folder's git tags")
	flag.BoolVar(&o.diff, "diff", false, "print the fork as a unified diff and build nothing")
	flag.StringVar(&o.check, "check", "", "say which patches fit this `version` of Moby, or the tree in this folder, and build nothing")
	flag.BoolVar(&o.refresh, "refresh", false, "write the series of patches from its git repository, and build nothing")
	flag.BoolVar(&o.vet, "vet", false, "run go vet over the packages with a file of ours, and build nothing")
	flag.BoolVar(&o.types, "types", false, "run go vet and the tests of our packages that take the engine's types, with the line's, and build nothing")
	flag.BoolVar(&o.tree, "tree", false, "make the tree, print its folder and build nothing")
	flag.StringVar(&o.test, "test", "", "compile the tests of this `package` of the tree instead of dockerd")
	flag.StringVar(&o.overlay, "overlay", "", "with -stock -test: `file` that names sources to replace, as for go build -overlay")
	flag.StringVar(&o.build, "build", "", "build `folder` (default the line's .build in the repository)")
	flag.StringVar(&o.output, "o", "", "output `file` (default dockerd or dockerd-stock in the line's bin)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mkdockerd: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if o.line, err = engine.Parse(*name); err == nil {
		err = o.validate()
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkdockerd:", err)
		os.Exit(1)
	}
}

// validate returns an error for options that contradict each other.
func (o options) validate() error {
	var actions []string
	for name, given := range map[string]bool{
		"-diff": o.diff, "-check": o.check != "", "-refresh": o.refresh, "-vet": o.vet, "-types": o.types,
		"-tree": o.tree, "-test": o.test != "",
	} {
		if given {
			actions = append(actions, name)
		}
	}
	slices.Sort(actions)
	switch {
	case len(actions) > 1:
		return fmt.Errorf("%s: choose one of these", strings.Join(actions, " and "))
	case o.stock && len(actions) > 0 && !o.tree && o.test == "":
		return fmt.Errorf("%s needs the patches, which -stock leaves out", actions[0])
	case o.release != "" && o.source == "":
		return errors.New("-release needs -source")
	case o.release != "" && !releases.MatchString(o.release):
		return fmt.Errorf("-release %q: must be a version such as 29.8.1", o.release)
	case o.test != "" && o.output == "":
		return errors.New("-test needs -o")
	case o.overlay != "" && (o.test == "" || !o.stock):
		return errors.New("-overlay needs -stock and -test")
	}
	return nil
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, build, err := modtree.Folders(o.line, o.build)
	if err != nil {
		return err
	}
	o.build = build
	m, err := newMaker(root, o)
	if err != nil {
		return err
	}
	switch {
	case o.diff:
		return m.printDiff(ctx, os.Stdout)
	case o.check != "":
		return m.checkFits(ctx, o.check, os.Stdout)
	case o.refresh:
		return m.refresh(ctx)
	}
	t, err := m.makeTree(ctx)
	if err != nil {
		return err
	}
	switch {
	case o.tree:
		fmt.Println(t.Dir)
		return nil
	case o.vet:
		return m.vet(ctx, t, os.Stdout)
	case o.types:
		return m.testTypes(ctx, t)
	}
	b, err := m.plan(ctx)
	if err != nil {
		return err
	}
	if err := b.Run(ctx, t); err != nil || b.Test {
		return err
	}
	if err := checkDeps(b.Output, m.line); err != nil {
		return errors.Join(err, os.Remove(b.Output)) // or somebody would run it
	}
	return nil
}
