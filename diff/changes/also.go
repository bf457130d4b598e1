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
type also []string

// names are those in a directory that lead to the paths, or are some.
func (a also) names(dir string) []string {
	var names []string
	for _, path := range a {
		rest := path
		if dir != "." {
			var below bool
			if rest, below = strings.CutPrefix(path, dir+"/"); !below {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, "/")
		names = append(names, name)
	}
	return names
}

// wanted reports whether a path leads to one of the paths, and whether it is one.
func (a also) wanted(at string) (leads, is bool) {
	for _, path := range a {
		is = is || path == at
		leads = leads || strings.HasPrefix(path, at+"/")
	}
	return leads, is
}

// alsoNames are the names in the directory that the walk is in that are visited
// although nothing may have changed under them.
func (w *walk) alsoNames() []string {
	if len(w.also) == 0 {
		return nil
	}
	dir, _ := w.at.PathOf(len(w.at.Levels) - 1)
	return w.also.names(dir)
}

// asked reports whether a name is told even if it is what it was. It is an error if the
// container cannot have what was asked for.
func (w *walk) asked(name string, e *tree.Entry, ok bool) (bool, error) {
	if len(w.also) == 0 {
		return false, nil
	}
	path, _ := w.at.Join(name)
	leads, is := w.also.wanted(path)
	refuse := func(reason string) error {
		i := slices.IndexFunc(w.also, func(of string) bool { return of == path || strings.HasPrefix(of, path+"/") })
		return fmt.Errorf("/%s: %s: %w", text.Beginning(w.also[i]), reason, errdefs.ErrInvalidArgument)
	}
	switch {
	case !leads && !is:
		return false, nil
	case !ok:
		return false, refuse("the container has no such file or directory")
	case w.hidden(e.Layer) && !e.IsDir():
		return false, refuse("it is what the container's runtime made")
	case leads && !e.IsDir():
		return false, refuse("/" + text.Beginning(path) + " is no directory in the container")
	}
	return is, nil
}
