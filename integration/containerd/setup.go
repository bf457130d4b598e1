package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/stack"
)

// version is one of containerd's. Its programs are in the folder of an engine line. The
// newest is of all lines: make newest puts it into the default line's.
type version struct {
	name          string
	line          engine.Line
	stock, linked string
}

var versions = []version{
	{name: "2.1", line: engine.V28, stock: "containerd-stock", linked: "containerd"},
	{name: "2.3", line: engine.V29, stock: "containerd-stock", linked: "containerd"},
	{name: "2.4", line: engine.Default, stock: "containerd-2.4", linked: "containerd-2.4-baleen"},
}

// setup is a way to run containerd.
type setup struct {
	name string
	// what it is, for people.
	what string
	// linked runs the containerd that Baleen's snapshotter and differ are part of;
	// proxy runs baleen-containerd beside containerd as it is.
	linked, proxy bool
	// snapshotter is what the tests are told to use.
	snapshotter string
}

// stock says what must pass.
const stock = "stock"

var setups = []setup{
	{name: stock, what: "containerd as it is, on overlayfs", snapshotter: "overlayfs"},
	{name: "differ", what: "overlayfs, with the differ of baleen-containerd", proxy: true, snapshotter: "overlayfs"},
	{name: "proxy", what: "snapshotter and differ of baleen-containerd", proxy: true, snapshotter: "baleen"},
	{name: "linked", what: "snapshotter and differ linked into containerd", linked: true, snapshotter: "baleen"},
}

// program is the containerd of a set-up, in the folder of the version's programs.
func (v version) program(bin string, s setup) string {
	name := v.stock
	if s.linked {
		name = v.linked
	}
	return filepath.Join(bin, name)
}

// config of the stack that runs a set-up.
func (s setup) config(bin string, v version) stack.Config {
	c := stack.Config{Flavor: stack.Stock, ContainerdBin: v.program(bin, s), Proxy: s.proxy, DifferForAll: s.proxy}
	if s.linked {
		c.ContainerdConfig = "[plugins.\"io.containerd.service.v1.diff-service\"]\n  default = [\"baleen\", \"walking\"]\n"
	}
	return c
}

func setupNames() []string {
	var names []string
	for _, s := range setups {
		names = append(names, s.name)
	}
	return names
}

func findSetup(name string) (setup, error) {
	for _, s := range setups {
		if s.name == name {
			return s, nil
		}
	}
	return setup{}, fmt.Errorf("no set-up %q: there are %s", name, strings.Join(setupNames(), ", "))
}

func versionNames() []string {
	var names []string
	for _, v := range versions {
		names = append(names, v.name)
	}
	return names
}

func findVersion(name string) (version, error) {
	for _, v := range versions {
		if v.name == name {
			return v, nil
		}
	}
	return version{}, fmt.Errorf("no version %q: there are %s", name, strings.Join(versionNames(), ", "))
}
