package main

import (
	"debug/buildinfo"
	"fmt"

	"github.com/baleen-project/baleen/compat/engine"
)

// checkDeps returns an error if a program links packages of another engine line: then
// code of Baleen took a type from there and not from compat/moby, and the daemon would
// have two of it.
func checkDeps(program string, line engine.Line) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read the modules of %s: %w", program, err)
	}
	for _, dep := range info.Deps {
		for _, other := range engine.Lines() {
			if other != line && dep.Path == other.Module() {
				return fmt.Errorf("%s is built for engine %s but links %s %s, of engine %s: its code must take the types from compat/moby", program, line, dep.Path, dep.Version, other)
			}
		}
	}
	return nil
}
