package merge

import (
	"path"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// stubs are the paths at which a container's runtime mounts something. What it makes there
// to mount on, if nothing is there, is none of the container's changes: it makes it again
// on the new image.
type stubs struct {
	at    map[string]bool // the paths
	above map[string]bool // the directories that lead to them
}

// open finds where the paths lead in the container.
func (s *stubs) open(view *tree.View, mounts []string) error {
	s.at, s.above = map[string]bool{}, map[string]bool{}
	for _, mount := range mounts {
		at, ok, err := view.Resolve(0, mount)
		if err != nil {
			return err
		}
		if !ok || at == "." {
			continue
		}
		s.at[at] = true
		for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
			s.above[dir] = true
		}
	}
	return nil
}

// made reports whether the runtime made a path, which the image does not have: an empty
// file at a mount, or a directory at one or above it. What else is in such a directory is
// the container's, and so is the directory then.
func (s *stubs) made(c *changes.Change) (bool, error) {
	switch {
	case c.Kind != changes.Added:
		return false, nil
	case c.IsDir() && s.at[c.Path]:
		return true, nil
	case c.IsDir() && s.above[c.Path]:
		if c.Stat.Mode != unix.S_IFDIR|0o755 || c.Stat.Uid != 0 || c.Stat.Gid != 0 {
			return false, nil
		}
		attrs, err := c.Xattrs()
		return len(attrs) == 0, err
	}
	return s.at[c.Path] && c.Type() == unix.S_IFREG && c.Stat.Size == 0, nil
}

// stub merges a directory that the runtime made. It is told if anything in it is.
func (g *merging) stub(m *meeting, f *mergeDir) {
	switch {
	case m.image.IsDir():
		f.change.ReadFrom(&m.image, g.way, len(g.way.Levels)-2)
	case m.image.OK:
		f.fate = &fate{conflict: m.conflict(), dir: f, image: m.image}
	}
}
