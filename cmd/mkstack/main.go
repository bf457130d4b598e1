// Mkstack builds what a stack needs besides dockerd, from pinned sources:
// the docker CLI, docker-proxy, docker-init, containerd with its shim and ctr,
// runc, and a registry.
//
//	mkstack [-engine LINE] [-build DIR] [-bin DIR] [NAME...]
//
// The engine line is that of -engine, or of the variable ENGINE.
// containerd is linked with Baleen's snapshotter and differ, containerd-stock is
// as published; so is containerd-2.4, of the newest version, which is made only
// when it is named. Names choose among the programs; without any, all others are
// made. Everything comes from the Go module proxy, except docker-init, which is
// Debian's tini.
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

func main() {
	name := flag.String("engine", os.Getenv(engine.Variable), "engine `line` to build for, 28.5 or 29")
	build := flag.String("build", "", "build `folder` (default the line's .build in the repository)")
	bin := flag.String("bin", "", "output `folder` (default the line's bin in the repository)")
	flag.Parse()
	line, err := engine.Parse(*name)
	if err == nil {
		err = run(line, *build, *bin, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkstack:", err)
		os.Exit(1)
	}
}

func run(line engine.Line, build, bin string, names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := modtree.RepoRoot()
	if err != nil {
		return err
	}
	if build == "" {
		build = line.Dir(filepath.Join(root, ".build"))
	}
	if build, err = filepath.Abs(build); err != nil {
		return err
	}
	if bin == "" {
		bin = line.Dir(filepath.Join(root, "bin"))
		if err := shareImages(filepath.Join(root, "bin"), bin); err != nil {
			return err
		}
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	for _, p := range chosen {
		if err := p.make(ctx, line, build, bin); err != nil {
			return fmt.Errorf("make %s: %w", p.name, err)
		}
	}
	return nil
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
