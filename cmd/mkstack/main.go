package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
)

type options struct {
	line       engine.Line
	build, bin string
	tree       bool
	test       modtree.Build
	names      []string
}

func main() {
	var o options
	name := flag.String("engine", os.Getenv(engine.Variable), "engine `line` to build for, 28.5 or 29")
	flag.StringVar(&o.build, "build", "", "build `folder` (default the line's .build in the repository)")
	flag.StringVar(&o.bin, "bin", "", "output `folder` (default the line's bin in the repository)")
	flag.BoolVar(&o.tree, "tree", false, "make the tree of one program, print its folder and build nothing")
	flag.StringVar(&o.test.Package, "test", "", "compile the tests of this `package` of one program's tree instead of the program")
	flag.StringVar(&o.test.Output, "o", "", "with -test: output `file`")
	flag.StringVar(&o.test.Overlay, "overlay", "", "with -test: `file` that names sources to replace, as for go build -overlay")
	flag.Parse()
	o.names = flag.Args()
	line, err := engine.Parse(*name)
	if err == nil {
		o.line = line
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkstack:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, build, err := modtree.Folders(o.line, o.build)
	if err != nil {
		return err
	}
	o.build = build
	if o.bin == "" {
		o.bin = o.line.Dir(filepath.Join(root, "bin"))
		if err := shareImages(filepath.Join(root, "bin"), o.bin); err != nil {
			return err
		}
	}
	chosen, err := choose(o.names)
	if err != nil {
		return err
	}
	if o.tree || o.test.Package != "" {
		return o.inTree(ctx, chosen)
	}
	for _, p := range chosen {
		if err := p.make(ctx, o.line, o.build, o.bin); err != nil {
			return fmt.Errorf("make %s: %w", p.name, err)
		}
	}
	return nil
}

// inTree does what needs only the sources of one program.
func (o options) inTree(ctx context.Context, chosen []program) error {
	if len(o.names) != 1 || chosen[0].module == "" {
		return fmt.Errorf("-tree and -test: want the name of one program that is built from a module, have %q", o.names)
	}
	p := chosen[0]
	t, err := p.tree(ctx, o.line, o.build)
	if err != nil {
		return fmt.Errorf("make tree of %s: %w", p.name, err)
	}
	if o.tree {
		fmt.Println(t.Dir)
		return nil
	}
	b := o.test
	if b.Output == "" {
		return errors.New("-test needs -o")
	}
	b.Test, b.Tags, b.Cgo = true, p.tags, p.cgo
	return b.Run(ctx, t)
}

// shareImages has a line's folder of programs hold the base images of all lines,
// which tests build when they need one.
func shareImages(all, bin string) error {
	if bin == all {
		return nil
	}
	for _, dir := range []string{filepath.Join(all, "images"), bin} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	err := os.Symlink("../images", filepath.Join(bin, "images"))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func choose(names []string) ([]program, error) {
	var chosen []program
	if len(names) == 0 {
		for _, p := range programs {
			if !p.onDemand {
				chosen = append(chosen, p)
			}
		}
		return chosen, nil
	}
	for _, name := range names {
		found := false
		for _, p := range programs {
			if p.name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no program named %q", name)
		}
	}
	return chosen, nil
}
