package freezer

import (
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Dirs are the folders in which Find looks for a container's control group, by the
// text of /proc/PID/cgroup and all mounts.
func Dirs(text, id string, mounts []*mountinfo.Info) (dirs []string) {
	for line := range strings.Lines(text) {
		m, ok := membershipOf(line, id)
		if !ok {
			continue
		}
		for _, mount := range mounts {
			if dir, ok := m.dir(mount); ok && mount.FSType == m.fsType {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// Held reports whether somebody holds the container, or is about to.
func (s *Set) Held(pid int, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key{pid, id}] != nil
}
