package tree

import (
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinks is how many symbolic links the kernel follows in a path.
	maxLinks = 40
	// maxSteps is how many names a path may come to, with those of its links.
	maxSteps = 256
)

// Resolve follows the links in a path from the root of the layers from one on, as the
// kernel does for a process that has them for its root: no link leads out of them. The
// result has no link and no slash before it; "." is the root. What is not there stays as it is
// named. ok is false for a loop, or for a path that comes to too many names.
func (v *View) Resolve(layer int, path string) (resolved string, ok bool, err error) {
	todo := pathNames(path)
	var done []string
	links := 0
	for steps := 0; len(todo) > 0; steps++ {
		if steps > maxSteps || len(todo) > maxSteps {
			return "", false, nil
		}
		name := todo[0]
		todo = todo[1:]
		switch name {
		case ".":
			continue
		case "..":
			done = done[:max(0, len(done)-1)]
			continue
		}
		target, err := v.linkAt(layer, done, name)
		if err != nil {
			return "", false, err
		}
		if target == "" {
			done = append(done, name)
			continue
		}
		if links++; links > maxLinks {
			return "", false, nil
		}
		if strings.HasPrefix(target, "/") {
			done = nil
		}
		todo = append(strings.FieldsFunc(target, func(r rune) bool { return r == '/' }), todo...)
	}
	if len(done) == 0 {
		return ".", true, nil
	}
	return strings.Join(done, "/"), true, nil
}

// linkAt is the target of a link in a directory; empty if it is no link.
func (v *View) linkAt(layer int, dir []string, name string) (string, error) {
	d, err := v.Descend(layer, 0, "/"+strings.Join(dir, "/"))
	if err != nil || d == nil {
		return "", err
	}
	defer d.Close()
	e, ok, err := v.Lookup(d, name)
	if err != nil || !ok || e.Stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	return ReadlinkAt(e.DirFD(), e.Name)
}
