// Mkdockerd makes Baleen's fork of Moby's daemon and builds it.
//
//	mkdockerd [-build DIR] [-o FILE]          build the fork
//	mkdockerd -stock [-build DIR] [-o FILE]   build the same tree without our edits
//	mkdockerd -diff                           print the fork as a unified diff
//	mkdockerd -tree [-stock]                  only make the tree, and print its folder
//	mkdockerd -test PKG [-stock] -o FILE      compile the tests of a package of the tree,
//	          [-overlay FILE]                 with sources replaced as for go build -overlay
//
// -engine LINE chooses the engine line; without it the variable ENGINE does.
//
// The source is the line's pinned module from the Go module proxy. It is copied
// once into the build folder; later runs touch only files whose text changed, so
// they cost what changed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
)

type options struct {
	stock, diff, tree bool
	test, overlay     string
	build, output     string
	line              engine.Line
}

func main() {
	var o options
	name := flag.String("engine", os.Getenv(engine.Variable), "engine `line` to build, 28.5 or 29")
	flag.BoolVar(&o.stock, "stock", false, "leave out Baleen's edits")
	flag.BoolVar(&o.diff, "diff", false, "print the fork as a unified diff and build nothing")
	flag.BoolVar(&o.tree, "tree", false, "make the tree, print its folder and build nothing")
	flag.StringVar(&o.test, "test", "", "compile the tests of this `package` of the tree instead of dockerd")
	flag.StringVar(&o.overlay, "overlay", "", "with -test: `file` that names sources to replace, as for go build -overlay")
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
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkdockerd:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := modtree.RepoRoot()
	if err != nil {
		return err
	}
	if o.build == "" {
		o.build = o.line.Dir(filepath.Join(root, ".build"))
	}
	if o.build, err = filepath.Abs(o.build); err != nil {
		return err
	}
	if o.diff {
		return printDiff(ctx, root, o, os.Stdout)
	}
	t, err := makeTree(ctx, root, o)
	if err != nil {
		return err
	}
	if o.tree {
		fmt.Println(t.Dir)
		return nil
	}
	b, err := plan(ctx, root, o)
	if err != nil {
		return err
	}
	return b.Run(ctx, t)
}
