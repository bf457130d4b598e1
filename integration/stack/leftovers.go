package stack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

// Leftovers returns an error that lists everything that is still there of the
// stack of that root: processes in its cgroup or that name the root in their
// command line or have their root or working directory in it, mounts in any
// namespace, cgroups, and files. A root that was to be kept may be there, but no
// sockets in it. Nil means that nothing is left. What is just about to go, such
// as a program that Command ran and that was killed, is given two seconds.
func Leftovers(root string) error {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		found, err := leftovers(layout(root))
		if err != nil {
			return fmt.Errorf("look for leftovers of stack %s: %w", root, err)
		}
		if len(found) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
				"stack %s has left behind:\n\t%s", root, strings.Join(found, "\n\t")))
		}
	}
}

func leftovers(l layout) ([]string, error) {
	var found []string
	for _, check := range []func(layout) ([]string, error){
		leftProcesses, leftMounts, leftCgroups, leftFiles,
	} {
		some, err := check(l)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

func leftProcesses(l layout) ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, dir := range dirs {
		if filepath.Base(dir) == fmt.Sprint(os.Getpid()) {
			continue
		}
		if why := belongs(l, dir); why != "" {
			found = append(found, fmt.Sprintf("process %s: %s", filepath.Base(dir), why))
		}
	}
	return found, nil
}

// belongs tells by what a process, given by its folder in /proc, belongs to the
// stack, or returns nothing. What cannot be read has ended meanwhile.
func belongs(l layout, dir string) string {
	if isZombie(dir) {
		return "" // it has ended, only its parent has not asked
	}
	for _, link := range []string{"root", "cwd", "exe"} {
		if target, err := os.Readlink(filepath.Join(dir, link)); err == nil && within(target, string(l)) {
			return link + " is " + target
		}
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err == nil && strings.Contains(string(cmdline), string(l)) {
		return strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " ")
	}
	cgroups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err == nil && strings.Contains(string(cgroups), "/"+l.cgroup()) {
		return "is in cgroup " + l.cgroup()
	}
	return ""
}

func isZombie(dir string) bool {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return false
	}
	// The state follows the name, which is in brackets and may have any.
	_, state, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// leftMounts looks into every mount namespace that a process is in.
func leftMounts(l layout) ([]string, error) {
	namespaces, err := filepath.Glob("/proc/[0-9]*/ns/mnt")
	if err != nil {
		return nil, err
	}
	var found []string
	seen := map[string]bool{}
	for _, link := range namespaces {
		namespace, err := os.Readlink(link)
		if err != nil || seen[namespace] {
			continue
		}
		pid := filepath.Base(filepath.Dir(filepath.Dir(link)))
		mounts, err := mountsOf(pid, string(l))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		seen[namespace] = true
		for _, m := range mounts {
			found = append(found, fmt.Sprintf("mount %s (in the namespace of process %s)", m.Mountpoint, pid))
		}
	}
	return found, nil
}

func mountsOf(pid, root string) ([]*mountinfo.Info, error) {
	file, err := os.Open("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mounts, err := mountinfo.GetMountsFromReader(file, mountinfo.PrefixFilter(root))
	if err != nil {
		// The process ended while its mounts were read.
		return nil, os.ErrNotExist
	}
	return mounts, nil
}

func leftCgroups(l layout) ([]string, error) {
	dirs, err := findCgroups(l.cgroup())
	for i := range dirs {
		dirs[i] = "cgroup " + dirs[i]
	}
	return dirs, err
}

func leftFiles(l layout) ([]string, error) {
	path := string(l)
	if rec, err := readRecord(l); err == nil && rec.Config.KeepRoot {
		path = l.volatile()
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return []string{"file " + path}, nil
}
