// Mkstack builds what a stack needs besides dockerd, from pinned sources:
// the docker CLI, docker-proxy, docker-init, containerd with its shim and ctr,
// runc, and a registry.
//
//	mkstack [-build DIR] [-bin DIR] [NAME...]
//
// containerd is linked with Baleen's snapshotter and differ, containerd-stock is
// as published; so is containerd-2.4, of the newest version, which is made only
// when it is named. Names choose among the programs; without any, all others are
// made. Everything comes from the Go module proxy, except docker-init, which is
// Debian's tini.
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
)

func main() {
	build := flag.String("build", "", "build `folder` (default .build in the repository)")
	bin := flag.String("bin", "", "output `folder` (default bin in the repository)")
	flag.Parse()
	if err := run(*build, *bin, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mkstack:", err)
		os.Exit(1)
	}
}

func run(build, bin string, names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := modtree.RepoRoot()
	if err != nil {
		return err
	}
	if build == "" {
		build = filepath.Join(root, ".build")
	}
	if build, err = filepath.Abs(build); err != nil {
		return err
	}
	if bin == "" {
		bin = filepath.Join(root, "bin")
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	for _, p := range chosen {
		if err := p.make(ctx, build, bin); err != nil {
			return fmt.Errorf("make %s: %w", p.name, err)
		}
	}
	return nil
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
