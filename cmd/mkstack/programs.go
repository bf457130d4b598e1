package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// program is one file of bin/.
type program struct {
	name   string
	module string // "" for docker-init
	pkg    string
	tags   []string
	cgo    bool
	vars   func(modtree.Pin) map[string]string
	// without are packages that the program imports only so that they register
	// themselves, and that are left out of it.
	without []string
}

// containerdTags leave out the snapshotters whose libraries or kernel parts a
// bare machine lacks.
var containerdTags = []string{"no_btrfs", "no_devmapper", "no_zfs", "urfave_cli_no_docs"}

var programs = []program{
	{name: "docker", module: modtree.CLI, pkg: "./cmd/docker", tags: []string{"osusergo"}, vars: cliVars},
	{name: "docker-proxy", module: modtree.Moby, pkg: "./cmd/docker-proxy", vars: mobyVars},
	{name: "docker-init"},
	{name: "containerd", module: modtree.Containerd, pkg: "./cmd/containerd", tags: containerdTags, vars: containerdVars},
	{name: "containerd-shim-runc-v2", module: modtree.Containerd, pkg: "./cmd/containerd-shim-runc-v2", tags: containerdTags, vars: containerdVars},
	{name: "ctr", module: modtree.Containerd, pkg: "./cmd/ctr", tags: containerdTags, vars: containerdVars},
	// runc refuses containers with a seccomp profile, which is all of
	// Docker's, unless it is linked with libseccomp.
	{name: "runc", module: modtree.Runc, pkg: ".", tags: []string{"seccomp"}, cgo: true},
	// The drivers of storage in clouds are nearly half of the registry's
	// packages; a test has a folder.
	{name: "registry", module: modtree.Distribution, pkg: "./cmd/registry", vars: registryVars, without: []string{
		"registry/storage/driver/azure",
		"registry/storage/driver/gcs",
		"registry/storage/driver/middleware/cloudfront",
		"registry/storage/driver/s3-aws",
	}},
}

func (p program) make(ctx context.Context, build, bin string) error {
	output, err := filepath.Abs(filepath.Join(bin, p.name))
	if err != nil {
		return err
	}
	if p.module == "" {
		return installTini(ctx, output)
	}
	pin, err := modtree.Lookup(p.module)
	if err != nil {
		return err
	}
	t, err := modtree.Open(ctx, pin, filepath.Join(build, treeName(p.module)))
	if err != nil {
		return err
	}
	if err := t.Modularise(ctx, modtree.Requirements{}); err != nil {
		return err
	}
	if len(p.without) > 0 {
		if err := p.cut(t); err != nil {
			return err
		}
	}
	b := modtree.Build{Package: p.pkg, Output: output, Tags: p.tags, Cgo: p.cgo}
	if p.vars != nil {
		b.Vars = p.vars(pin)
	}
	return b.Run(ctx, t)
}

// cut drops imports from the program's main.go.
func (p program) cut(t *modtree.Tree) error {
	name := filepath.Join(p.pkg, "main.go")
	text, err := t.Original(name)
	if err != nil {
		return err
	}
	for _, pkg := range p.without {
		line := fmt.Appendf(nil, "\t_ \"%s/%s\"\n", p.module, pkg)
		if bytes.Count(text, line) != 1 {
			return fmt.Errorf("%s of %s does not import %s", name, t.Origin, pkg)
		}
		text = bytes.Replace(text, line, nil, 1)
	}
	return t.Sync(map[string][]byte{name: text})
}

// treeName is the folder of a module's tree. Moby's is the one that mkdockerd
// -stock keeps, which must have been made before.
func treeName(module string) string {
	return map[string]string{
		modtree.Moby:         "dockerd-stock",
		modtree.CLI:          "docker-cli",
		modtree.Containerd:   "containerd",
		modtree.Runc:         "runc",
		modtree.Distribution: "distribution",
	}[module]
}

func cliVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/cli/version.Version": p.Number()}
}

func mobyVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/dockerversion.Version": p.Number()}
}

func containerdVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/version.Version": p.Version}
}

func registryVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/version.version": p.Version}
}
