package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/compat/version"
)

const (
	baleenModule      = "github.com/baleen-project/baleen"
	snapshotterPlugin = baleenModule + "/snapshotter/plugin"
)

// program is one file of bin/.
type program struct {
	name   string
	module string // "" for docker-init, or moby
	pkg    string
	tags   []string
	cgo    bool
	vars   func(modtree.Pin) map[string]string
	// without are packages that the program imports only so that they register
	// themselves, and that are left out of it.
	without []string
	// plugin is a package of this repository that the program is linked with,
	// by way of its package builtins.
	plugin string
	// last takes the module's last pin, which is for tests.
	last bool
	// require raises modules that the program asks for, to versions that the module
	// proxy has.
	require map[string]string
	// onDemand programs are made only when they are named.
	onDemand bool
}

// containerdTags leave out the snapshotters whose libraries or kernel parts a
// bare machine lacks.
var containerdTags = []string{"no_btrfs", "no_devmapper", "no_zfs", "urfave_cli_no_docs"}

// moby stands for the module of the engine line.
const moby = "moby"

var programs = []program{
	{name: "docker", module: modtree.CLI, pkg: "./cmd/docker", tags: []string{"osusergo"}, vars: cliVars},
	// Moby 29's Dockerfile names it for the tests of integration-cli.
	{
		name: "docker-25", module: modtree.CLI, pkg: "./cmd/docker", tags: []string{"osusergo"}, vars: cliVars, last: true, onDemand: true,
		require: map[string]string{"github.com/docker/docker": "v25.0.5+incompatible"},
	},
	// Without it the docker command has only the classic builder. It takes three
	// minutes on two processors.
	{name: "docker-buildx", module: modtree.Buildx, pkg: "./cmd/buildx", vars: containerdVars, onDemand: true},
	// Tests of compose projects run it.
	{name: "docker-compose", module: modtree.Compose, pkg: "./cmd", vars: composeVars, onDemand: true},
	{name: "docker-proxy", module: moby, pkg: "./cmd/docker-proxy", vars: mobyVars},
	{name: "docker-init"},
	{name: "containerd", module: modtree.Containerd, pkg: "./cmd/containerd", tags: containerdTags, vars: baleenVars, plugin: snapshotterPlugin},
	{name: "containerd-stock", module: modtree.Containerd, pkg: "./cmd/containerd", tags: containerdTags, vars: containerdVars},
	// It shares no compiled package with the others: on two processors it takes
	// nearly two minutes.
	{name: "containerd-2.4", module: modtree.Containerd, pkg: "./cmd/containerd", tags: containerdTags, vars: containerdVars, last: true, onDemand: true},
	{name: "containerd-2.4-baleen", module: modtree.Containerd, pkg: "./cmd/containerd", tags: containerdTags, vars: baleenVars, plugin: snapshotterPlugin, last: true, onDemand: true},
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

func (p program) make(ctx context.Context, line engine.Line, build, bin string) error {
	output, err := filepath.Abs(filepath.Join(bin, p.name))
	if err != nil {
		return err
	}
	if p.module == "" {
		return installTini(ctx, output)
	}
	t, err := p.tree(ctx, line, build)
	if err != nil {
		return err
	}
	b := modtree.Build{Package: p.pkg, Output: output, Tags: p.tags, Cgo: p.cgo}
	if p.vars != nil {
		b.Vars = p.vars(t.Pin)
	}
	return b.Run(ctx, t)
}

// tree brings the sources up to date.
func (p program) tree(ctx context.Context, line engine.Line, build string) (*modtree.Tree, error) {
	module := p.module
	if module == moby {
		module = line.Module()
	}
	pin, err := modtree.Lookup(line, module)
	if p.last {
		pin, err = modtree.Last(line, module)
	}
	if err != nil {
		return nil, err
	}
	t, err := modtree.Open(ctx, pin, filepath.Join(build, p.treeName()))
	if err != nil {
		return nil, err
	}
	if p.plugin != "" {
		return t, p.link(ctx, t)
	}
	if err := t.Modularise(ctx, modtree.Requirements{Require: p.require}); err != nil {
		return nil, err
	}
	if len(p.without) > 0 {
		return t, p.cut(t)
	}
	return t, nil
}

// link adds the plugin to the program's, and this repository to its modules.
func (p program) link(ctx context.Context, t *modtree.Tree) error {
	root, err := modtree.RepoRoot()
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(t.Dir, root)
	if err != nil {
		return err
	}
	if err := t.Modularise(ctx, modtree.Requirements{Replace: map[string]string{baleenModule: rel}, Sums: sums}); err != nil {
		return err
	}
	transfer, err := unpackForBaleen(t)
	if err != nil {
		return err
	}
	return t.Sync(map[string][]byte{
		filepath.Join(p.pkg, "builtins", "builtins_baleen.go"): fmt.Appendf(nil, "package builtins\n\nimport _ %q\n", p.plugin),
		transferPlugin: transfer,
	})
}

// transferPlugin is the file of containerd's transfer service that knows by default
// which snapshotters images are unpacked for.
const transferPlugin = "plugins/transfer/plugin.go"

// unpackForBaleen has the transfer service unpack for Baleen's snapshotter as well,
// unless a configuration says for which: "ctr images import --snapshotter baleen"
// asks that service, and by default it knows overlayfs alone.
func unpackForBaleen(t *modtree.Tree) ([]byte, error) {
	text, err := t.Original(transferPlugin)
	if err != nil {
		return nil, err
	}
	const line = "config.UnpackConfiguration = defaultUnpackConfig()\n"
	if bytes.Count(text, []byte(line)) != 1 {
		return nil, fmt.Errorf("%s of %s does not set its default as expected", transferPlugin, t.Origin)
	}
	const more = line + `
		if ms.Snapshotter("baleen") != nil {
			baleen := defaultUnpackConfig()[0]
			baleen.Snapshotter, baleen.Differ = "baleen", "baleen"
			config.UnpackConfiguration = append(config.UnpackConfiguration, baleen)
		}
`
	return bytes.Replace(text, []byte(line), []byte(more), 1), nil
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

// treeName is the folder of the program's sources. Moby's is the one that
// mkdockerd -stock keeps, which must have been made before.
func (p program) treeName() string {
	if p.last {
		return p.name
	}
	name := map[string]string{
		moby:                 "dockerd-stock",
		modtree.CLI:          "docker-cli",
		modtree.Buildx:       "docker-buildx",
		modtree.Compose:      "docker-compose",
		modtree.Containerd:   "containerd",
		modtree.Runc:         "runc",
		modtree.Distribution: "distribution",
	}[p.module]
	if p.plugin != "" {
		name += "-baleen"
	}
	return name
}

func cliVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/cli/version.Version": p.Release}
}

func composeVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/internal.Version": p.Version}
}

func mobyVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/dockerversion.Version": p.Release}
}

func containerdVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/version.Version": p.Version}
}

func baleenVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/version.Version": p.Version + "+baleen." + version.Version}
}

func registryVars(p modtree.Pin) map[string]string {
	return map[string]string{p.Module + "/version.version": p.Version}
}
