package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/compat/fork"
	"github.com/baleen-project/baleen/compat/version"
)

const baleenModule = "github.com/baleen-project/baleen"

// makeTree brings the fork's tree, or stock's, up to date in the build folder.
func makeTree(ctx context.Context, root string, o options) (*modtree.Tree, error) {
	pin, err := modtree.Lookup(o.line, o.line.Module())
	if err != nil {
		return nil, err
	}
	name := "dockerd"
	if o.stock {
		name = "dockerd-stock"
	}
	t, err := modtree.Open(ctx, pin, filepath.Join(o.build, name))
	if err != nil {
		return nil, err
	}
	req, err := requirements(root, t.Dir, o)
	if err != nil {
		return nil, err
	}
	if err := t.Modularise(ctx, req); err != nil {
		return nil, err
	}
	var files map[string][]byte
	if !o.stock {
		if files, err = fork.Files(t.Original); err != nil {
			return nil, err
		}
	}
	return t, t.Sync(files)
}

// requirements raises containerd's client in 28.5 to the version that this
// repository is written for, in the fork and in stock alike, so that the two differ
// in our edits and in nothing else. Other lines ask for a newer one themselves. The
// fork also requires this repository.
func requirements(root, tree string, o options) (modtree.Requirements, error) {
	if o.line != engine.V28 {
		if !o.stock {
			return modtree.Requirements{}, fmt.Errorf("there is no fork of engine %s yet, only -stock", o.line)
		}
		return modtree.Requirements{}, nil
	}
	containerd, err := modtree.Lookup(o.line, modtree.Containerd)
	if err != nil {
		return modtree.Requirements{}, err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return modtree.Requirements{}, err
	}
	req := modtree.Requirements{
		Require: map[string]string{modtree.Containerd: containerd.Version},
		Sums:    sums,
	}
	if !o.stock {
		rel, err := filepath.Rel(tree, root)
		if err != nil {
			return modtree.Requirements{}, err
		}
		req.Replace = map[string]string{baleenModule: rel}
	}
	return req, nil
}

// plan says what to compile and which versions the linker writes into it.
func plan(ctx context.Context, root string, o options) (modtree.Build, error) {
	pin, err := modtree.Lookup(o.line, o.line.Module())
	if err != nil {
		return modtree.Build{}, err
	}
	if !o.stock && pin.Release != fork.MobyVersion {
		return modtree.Build{}, fmt.Errorf("pins.txt has Moby %s, the fork's edits are made for %s", pin.Release, fork.MobyVersion)
	}
	b := modtree.Build{Package: "./cmd/dockerd", Output: o.output, Tags: mobyTags[o.line]}
	name, version, platform := "dockerd", pin.Release+"+baleen."+version.Version, "Baleen "+version.Version
	if o.stock {
		name, version, platform = "dockerd-stock", pin.Release, ""
	}
	if o.test != "" {
		b.Package, b.Test, b.Overlay = o.test, true, o.overlay
		if o.output == "" {
			return b, fmt.Errorf("-test needs -o")
		}
	}
	if b.Output == "" {
		b.Output = filepath.Join(o.line.Dir(filepath.Join(root, "bin")), name)
	}
	if b.Output, err = filepath.Abs(b.Output); err != nil {
		return b, err
	}
	pkg := o.line.Module() + "/dockerversion."
	b.Vars = map[string]string{pkg + "Version": version, pkg + "PlatformName": platform}
	if !o.stock {
		b.Vars[pkg+"GitCommit"] = modtree.Revision(ctx, root)
	}
	return b, nil
}

// mobyTags are those of Moby's own static build, hack/make.sh.
var mobyTags = map[engine.Line][]string{
	engine.V28: {"netgo", "osusergo", "static_build"},
	engine.V29: {"netgo", "osusergo", "static_build", "nri_no_wasm"},
}
