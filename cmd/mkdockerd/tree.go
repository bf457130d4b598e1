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

// maker makes the trees of one engine line.
type maker struct {
	options
	root   string       // of this repository
	folder string       // of the engine line in compat/fork
	series *fork.Series // empty for stock
	pin    modtree.Pin
}

func newMaker(root string, o options) (*maker, error) {
	m := &maker{options: o, root: root, folder: filepath.Join(root, "compat", "fork", string(o.line)), series: &fork.Series{}}
	var err error
	if !m.stock {
		if m.series, err = fork.Load(os.DirFS(m.folder)); err != nil {
			return nil, fmt.Errorf("engine %s: %s: %w", o.line, m.folder, err)
		}
		if err := m.series.AddGlue(os.DirFS(filepath.Join(root, "compat", "fork", "_glue"))); err != nil {
			return nil, fmt.Errorf("engine %s: %w", o.line, err)
		}
	}
	if m.pin, err = modtree.Lookup(o.line, o.line.Module()); err != nil {
		return nil, err
	}
	if m.source == "" {
		return m, nil
	}
	if m.source, err = filepath.Abs(m.source); err != nil {
		return nil, err
	}
	return m, checkMoby(m.source)
}

// checkMoby returns an error if a folder does not hold Moby's source.
func checkMoby(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, fork.VerbsFile)); err != nil {
		return fmt.Errorf("%s is not the source of Moby: %w", dir, err)
	}
	return nil
}

// origin returns the tree that the patches are for, without a copy of it.
func (m *maker) origin(ctx context.Context) (*modtree.Tree, error) {
	if m.source != "" {
		return &modtree.Tree{Pin: m.pin, Origin: m.source}, nil
	}
	dir, err := m.pin.Download(ctx)
	return &modtree.Tree{Pin: m.pin, Origin: dir}, err
}

// makeTree brings the fork's tree, or stock's, up to date in the build folder.
func (m *maker) makeTree(ctx context.Context) (*modtree.Tree, error) {
	name := "dockerd"
	if m.stock {
		name = "dockerd-stock"
	}
	t, err := m.open(ctx, filepath.Join(m.build, name))
	if err != nil {
		return nil, err
	}
	req, err := m.requirements(t.Dir)
	if err != nil {
		return nil, err
	}
	if err := t.Modularise(ctx, req); err != nil {
		return nil, err
	}
	if !m.stock {
		if err := checkVerbs(t); err != nil {
			return nil, err
		}
	}
	files, err := m.series.Files(t.Original)
	if err != nil {
		return nil, err
	}
	return t, t.Sync(files)
}

func (m *maker) open(ctx context.Context, dir string) (*modtree.Tree, error) {
	if m.source != "" {
		return modtree.OpenSource(m.pin, m.source, dir)
	}
	return modtree.Open(ctx, m.pin, dir)
}

// requirements raises containerd's client in 28.5 to the version that this
// repository is written for, in the fork and in stock alike, so that the two differ
// in our patches and in nothing else. Other lines ask for a newer one themselves. The
// fork also requires this repository. They are for the tree in a folder.
func (m *maker) requirements(tree string) (req modtree.Requirements, err error) {
	if m.line == engine.V28 {
		containerd, err := modtree.Lookup(m.line, modtree.Containerd)
		if err != nil {
			return req, err
		}
		req.Require = map[string]string{modtree.Containerd: containerd.Version}
	}
	if !m.stock {
		rel, err := filepath.Rel(tree, m.root)
		if err != nil {
			return req, err
		}
		req.Replace = map[string]string{baleenModule: rel}
	}
	if len(req.Require)+len(req.Replace) > 0 {
		req.Sums, err = os.ReadFile(filepath.Join(m.root, "go.sum"))
	}
	return req, err
}

// plan says what to compile and which versions the linker writes into it.
func (m *maker) plan(ctx context.Context) (modtree.Build, error) {
	b := modtree.Build{Package: "./cmd/dockerd", Output: m.output, Tags: m.tags()}
	release, err := m.releaseOf(ctx)
	if err != nil {
		return b, err
	}
	name, platform := "dockerd-stock", ""
	if !m.stock {
		name, platform = "dockerd", "Baleen "+version.Version
		release += "+baleen." + version.Version
	}
	if m.test != "" {
		b.Package, b.Test = m.test, true
	}
	if b.Output == "" {
		b.Output = filepath.Join(m.line.Dir(filepath.Join(m.root, "bin")), name)
	}
	if b.Overlay, err = m.writeOverlay(); err != nil {
		return b, err
	}
	pkg := m.line.Module() + "/dockerversion."
	b.Vars = map[string]string{pkg + "Version": release, pkg + "PlatformName": platform}
	if !m.stock {
		b.Vars[pkg+"GitCommit"] = modtree.Revision(ctx, m.root)
	}
	return b, nil
}

// tags are the build tags of Moby's own static build, hack/make.sh. The fork of 29
// leaves the containerd out that stock runs if it finds no other.
func (m *maker) tags() []string {
	tags := []string{"netgo", "osusergo", "static_build"}
	if m.line == engine.V29 {
		tags = append(tags, "nri_no_wasm")
		if !m.stock {
			tags = append(tags, "no_embedded_containerd")
		}
	}
	return tags
}
