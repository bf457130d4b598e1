package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// Line is a series of Moby's releases, by the part of the version that they share.
type Line string

// The lines that Baleen is built for.
const (
	V28 Line = "28.5" // the last of github.com/docker/docker
	V29 Line = "29"   // github.com/moby/moby/v2

	// Default is the line that is meant where none is named.
	Default = V29
)

// Variable is the environment variable that names the line to build and run.
const Variable = "ENGINE"

// modules has the path of each line's Go module.
var modules = map[Line]string{
	V28: "github.com/docker/docker",
	V29: "github.com/moby/moby/v2",
}

// Lines returns all lines, oldest first.
func Lines() []Line { return []Line{V28, V29} }

// Parse returns the line of that name; "" is [Default]. Any other name is an error
// of the class errdefs.ErrInvalidArgument.
func Parse(name string) (Line, error) {
	if name == "" {
		return Default, nil
	}
	if _, ok := modules[Line(name)]; ok {
		return Line(name), nil
	}
	var names []string
	for _, l := range Lines() {
		names = append(names, string(l))
	}
	return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("there is no engine %q: must be %s", name, strings.Join(names, " or ")))
}

// Chosen returns the line that [Variable] names.
func Chosen() (Line, error) {
	line, err := Parse(os.Getenv(Variable))
	if err != nil {
		return "", fmt.Errorf("variable %s: %w", Variable, err)
	}
	return line, nil
}

// Module returns the path of the line's Go module.
func (l Line) Module() string { return modules[l] }

// Dir returns the folder below base that holds what is built for the line: base
// itself for [Default].
func (l Line) Dir(base string) string {
	if l == Default {
		return base
	}
	return filepath.Join(base, string(l))
}
