package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// CgroupsOf returns the folders of a container's cgroup in all hierarchies. The cgroup
// is named after the container's id.
func CgroupsOf(id string) ([]string, error) { return findCgroups(id) }

// IsFrozen reports whether all processes of one of these cgroups stand still, by
// whichever freezer there is.
func IsFrozen(dirs []string) (bool, error) {
	for _, dir := range dirs {
		for file, word := range map[string]string{"freezer.state": "FROZEN", "cgroup.events": "frozen 1"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			switch {
			case os.IsNotExist(err): // another hierarchy, or the container has ended
			case err != nil:
				return false, fmt.Errorf("look whether a container is frozen: %w", err)
			case slices.Contains(strings.Split(string(text), "\n"), word):
				return true, nil
			}
		}
	}
	return false, nil
}
