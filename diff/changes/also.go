package changes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// also are the paths of [Container]'s Also.
type also struct {
	paths map[string]bool
	names map[string][]string // by directory: those in it that lead to a path, or are one
}

func newAlso(paths []string) also {
	a := also{map[string]bool{}, map[string][]string{}}
	for _, path := range paths {
		a.paths[path] = true
		for at := path; at != "."; {
			dir, name := ".", at
			if i := strings.LastIndexByte(at, '/'); i >= 0 {
				dir, name = at[:i], at[i+1:]
			}
			if slices.Contains(a.names[dir], name) {
				break
			}
			a.names[dir] = append(a.names[dir], name)
			at = dir
		}
	}
	return a
}

// alsoNames are the names in the directory that the walk is in that are visited
// although nothing may have changed under them.
func (w *walk) alsoNames() []string {
	if len(w.also.paths) == 0 {
		return nil
	}
	dir, _ := w.at.PathOf(len(w.at.Levels) - 1)
	return w.also.names[dir]
}

// asked reports whether a name is told even if it is what it was. It is an error if the
// container cannot have what was asked for.
func (w *walk) asked(name string, e *tree.Entry, ok bool) (bool, error) {
	if len(w.also.paths) == 0 {
		return false, nil
	}
	path, _ := w.at.Join(name)
	is, leads := w.also.paths[path], len(w.also.names[path]) > 0
	reason := ""
	switch {
	case !leads && !is:
	case !ok:
		reason = "the container has no such file or directory"
	case w.hidden(e.Layer) && !e.IsDir():
		reason = "the container's runtime made it"
	case leads && !e.IsDir():
		reason = "it is no directory in the container"
	}
	if reason != "" {
		return false, fmt.Errorf("/%s: %s: %w", text.Beginning(path), reason, errdefs.ErrInvalidArgument)
	}
	return is, nil
}
