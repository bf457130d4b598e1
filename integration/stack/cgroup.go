package stack

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// hierarchy is one mounted cgroup hierarchy.
type hierarchy struct {
	mountpoint string
	// root is the cgroup that is seen at mountpoint.
	root string
	// controllers are version 1's, as in /proc/PID/cgroup: "cpu,cpuacct", or
	// "name=systemd". Empty for version 2.
	controllers string
}

func (h hierarchy) unified() bool { return h.controllers == "" }

func (h hierarchy) has(controller string) bool {
	return slices.Contains(strings.Split(h.controllers, ","), controller)
}

// path of the folder of cgroup, which is named as in /proc/PID/cgroup.
func (h hierarchy) path(cgroup string) string {
	return filepath.Join(h.mountpoint, strings.TrimPrefix(cgroup, strings.TrimSuffix(h.root, "/")))
}

// hierarchies lists what is mounted, each hierarchy once.
func hierarchies() ([]hierarchy, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("list cgroup mounts: %w", err)
	}
	var found []hierarchy
	for _, m := range mounts {
		h := hierarchy{mountpoint: m.Mountpoint, root: m.Root}
		if m.FSType == "cgroup" {
			h.controllers = controllersOf(m.VFSOptions)
		}
		if !slices.ContainsFunc(found, func(o hierarchy) bool { return o.controllers == h.controllers }) {
			found = append(found, h)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted")
	}
	return found, nil
}

// controllersOf picks the controllers from the options of a version 1 mount.
func controllersOf(options string) string {
	known := strings.Split(options, ",")
	known = slices.DeleteFunc(known, func(o string) bool {
		name, _, _ := strings.Cut(o, "=")
		return slices.Contains([]string{
			"rw", "ro", "xattr", "noprefix", "clone_children", "release_agent",
			"cpuset_v2_mode", "favordynmods", "seclabel",
		}, name)
	})
	return strings.Join(known, ",")
}

// cgroupsOf returns the cgroup of a process in each hierarchy, by controllers.
func cgroupsOf(pid string) (map[string]string, error) {
	file, err := os.Open("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find cgroups of process %s: %w", pid, err)
	}
	defer file.Close()
	found := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if id := strings.SplitN(lines.Text(), ":", 3); len(id) == 3 {
			found[id[1]] = id[2]
		}
	}
	return found, lines.Err()
}

// membership says in which folders of the cgroup file systems a process is.
type membership []string

// currentCgroups returns where pid is.
func currentCgroups(pid string) (membership, []hierarchy, error) {
	mounted, err := hierarchies()
	if err != nil {
		return nil, nil, err
	}
	cgroups, err := cgroupsOf(pid)
	if err != nil {
		return nil, nil, err
	}
	var dirs membership
	var used []hierarchy
	for _, h := range mounted {
		if cgroup, ok := cgroups[h.controllers]; ok {
			dirs, used = append(dirs, h.path(cgroup)), append(used, h)
		}
	}
	return dirs, used, nil
}

// join moves this process into the cgroups.
func (m membership) join() error {
	for _, dir := range m {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// makeCgroups makes a cgroup of that name in every hierarchy, below those that
// this process is in.
func makeCgroups(name string) (membership, error) {
	parents, mounted, err := currentCgroups("self")
	if err != nil {
		return nil, err
	}
	var made membership
	for i, h := range mounted {
		parent := parents[i]
		if h.unified() {
			parent = delegating(h, parent)
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			return made, fmt.Errorf("make cgroup: %w", err)
		}
		made = append(made, dir)
		if h.has("cpuset") {
			if err := copyCpuset(parent, dir); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// delegating returns the nearest cgroup from dir upwards that passes
// controllers on to its children. One that holds processes, like the session of
// a login, does not and must not be made to. If there is none it is dir.
func delegating(h hierarchy, dir string) string {
	for at := dir; strings.HasPrefix(at, h.mountpoint); at = filepath.Dir(at) {
		passed, err := os.ReadFile(filepath.Join(at, "cgroup.subtree_control"))
		if err == nil && len(strings.TrimSpace(string(passed))) > 0 {
			return at
		}
	}
	return dir
}

// copyCpuset fills in what a version 1 cpuset needs before it takes a process.
func copyCpuset(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return fmt.Errorf("copy cpuset: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0); err != nil {
			return fmt.Errorf("copy cpuset: %w", err)
		}
	}
	return nil
}

// findCgroups looks for the cgroups of that name in all hierarchies. They need
// not be below those of this process, which may not be the stack's starter.
func findCgroups(name string) ([]string, error) {
	mounted, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, h := range mounted {
		err := walkCgroups(h.mountpoint, func(dir string) error {
			if filepath.Base(dir) != name {
				return nil
			}
			found = append(found, dir)
			return fs.SkipDir
		})
		if err != nil {
			return nil, fmt.Errorf("look for cgroup %s: %w", name, err)
		}
	}
	return found, nil
}

// walkCgroups visits dir and all cgroups below it, parents first. Cgroups may
// vanish on the way.
func walkCgroups(dir string, visit func(dir string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV):
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		}
		return visit(path)
	})
}

// cgroupPatience is how long removeCgroups goes on. Processes that are being
// killed still count as members.
const cgroupPatience = 10 * time.Second

// removeCgroups kills what is still in the cgroups of that name and removes
// them with everything below.
func removeCgroups(name string) error {
	deadline := time.Now().Add(cgroupPatience)
	for {
		dirs, err := findCgroups(name)
		if err != nil || len(dirs) == 0 {
			return err
		}
		err = nil
		for _, dir := range dirs {
			err = errors.Join(err, emptyCgroup(dir), removeTree(dir))
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// emptyCgroup kills all processes in dir and below. Frozen ones are thawed, for
// in a version 1 freezer they could not die.
func emptyCgroup(dir string) error {
	return walkCgroups(dir, func(dir string) error {
		thaw(dir)
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil // vanished, or a threaded one without processes of its own
		}
		for _, line := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(line)
			if err == nil && pid > 0 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

func thaw(dir string) {
	state := filepath.Join(dir, "freezer.state")
	if _, err := os.Stat(state); err == nil {
		_ = os.WriteFile(state, []byte("THAWED"), 0)
	}
}

// thawAll lets paused containers run, so that they can be killed.
func thawAll(dirs membership) {
	for _, dir := range dirs {
		_ = walkCgroups(dir, func(dir string) error {
			thaw(dir)
			return nil
		})
	}
}

func removeTree(dir string) error {
	var dirs []string
	err := walkCgroups(dir, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}
