package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const cgroupDir = "/sys/fs/cgroup"

// safe are the flags of file systems that have no programs or devices.
const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// setUpMounts replaces what the machine's mounts would tell of the machine's
// namespaces.
func setUpMounts(root layout) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := remountSys(); err != nil {
		return err
	}
	if err := replaceMount("/proc", "proc", safe, ""); err != nil {
		return err
	}
	if err := mountRun(root); err != nil {
		return err
	}
	if err := replaceMount("/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	// Volumes with rshared, and dockerd's own root, count on this.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

// setUpEtc lays files over those in /etc.
func setUpEtc(root layout, files map[string]string) error {
	if len(files) == 0 {
		return nil
	}
	upper, work := filepath.Join(root.volatile(), "etc"), filepath.Join(root.volatile(), "etc-work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("lay files over /etc: %w", err)
		}
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(upper, name)), 0o755); err != nil {
			return fmt.Errorf("lay files over /etc: %w", err)
		}
		if err := os.WriteFile(filepath.Join(upper, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("lay files over /etc: %w", err)
		}
	}
	options := "lowerdir=/etc,upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", "/etc", "overlay", 0, options); err != nil {
		return fmt.Errorf("lay files over /etc: %w", err)
	}
	return nil
}

// hidePrograms covers programs by what nobody can execute, so that a search goes on
// and finds nothing.
func hidePrograms(dirs, names []string) error {
	for _, dir := range dirs {
		for _, name := range names {
			path := filepath.Join(dir, name)
			if needExecutable(path) != nil {
				continue
			}
			if err := unix.Mount(os.DevNull, path, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("hide %s: %w", path, err)
			}
		}
	}
	return nil
}

// remountSys mounts a sysfs that shows the stack's network devices, with the
// file systems that were mounted in the old one, among them the cgroups, which
// now begin at the stack's own.
func remountSys() error {
	before, err := mountinfo.GetMounts(mountinfo.PrefixFilter("/sys"))
	if err != nil {
		return fmt.Errorf("list mounts below /sys: %w", err)
	}
	links, err := cgroupLinks()
	if err != nil {
		return err
	}
	if err := replaceMount("/sys", "sysfs", safe, ""); err != nil {
		return err
	}
	for _, m := range before {
		if err := remount(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Mountpoint, err)
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(cgroupDir, name)); err != nil {
			return fmt.Errorf("link cgroup: %w", err)
		}
	}
	return nil
}

// replaceMount mounts a new file system where one is. What was there is taken
// away, not covered: who looks for cgroups in mountinfo must not come upon the
// machine's.
func replaceMount(path, fstype string, flags uintptr, options string) error {
	_ = unix.Unmount(path, unix.MNT_DETACH) // not a mount, or one that we can only cover
	if err := unix.Mount(fstype, path, fstype, flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// remount mounts the file system of m anew at the same place.
func remount(m *mountinfo.Info) error {
	switch m.FSType {
	case "securityfs", "debugfs", "tracefs", "bpf":
		// For AppArmor and the like. A kernel may refuse, and no stack
		// depends on it.
		_ = unix.Mount(m.FSType, m.Mountpoint, m.FSType, safe, "")
		return nil
	case "tmpfs":
		if m.Mountpoint != cgroupDir {
			return nil
		}
		return unix.Mount("tmpfs", cgroupDir, "tmpfs", safe, "mode=755")
	case "cgroup":
		return remountCgroup(m)
	case "cgroup2":
		return remountCgroup2(m)
	}
	return nil
}

func remountCgroup(m *mountinfo.Info) error {
	if err := os.MkdirAll(m.Mountpoint, 0o755); err != nil {
		return err
	}
	options := controllersOf(m.VFSOptions)
	if strings.HasPrefix(options, "name=") {
		options = "none," + options
	}
	return unix.Mount("cgroup", m.Mountpoint, "cgroup", safe, options)
}

// remountCgroup2 also makes room for containers: a cgroup that passes
// controllers on must not hold processes itself, so this one moves to a child
// and the daemons that it starts will be there as well.
func remountCgroup2(m *mountinfo.Info) error {
	if err := os.MkdirAll(m.Mountpoint, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("cgroup2", m.Mountpoint, "cgroup2", safe, ""); err != nil {
		return err
	}
	child := filepath.Join(m.Mountpoint, "init")
	if err := os.Mkdir(child, 0o755); err != nil {
		return err
	}
	if err := (membership{child}).join(); err != nil {
		return err
	}
	available, err := os.ReadFile(filepath.Join(m.Mountpoint, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(available)) {
		err := os.WriteFile(filepath.Join(m.Mountpoint, "cgroup.subtree_control"), []byte("+"+controller), 0)
		if err != nil {
			return fmt.Errorf("pass on controller %s: %w", controller, err)
		}
	}
	return nil
}

// cgroupLinks reads the links by which one finds "cpu" when it is mounted as
// "cpu,cpuacct".
func cgroupLinks() (map[string]string, error) {
	entries, err := os.ReadDir(cgroupDir)
	if err != nil {
		return nil, fmt.Errorf("read cgroup links: %w", err)
	}
	links := map[string]string{}
	for _, entry := range entries {
		if entry.Type()&os.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(filepath.Join(cgroupDir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read cgroup links: %w", err)
		}
		links[entry.Name()] = target
	}
	return links, nil
}

// mountRun gives the stack a /run of its own. Through the machine's, daemons
// would reach its systemd, firewalld and D-Bus, and leave files there.
func mountRun(root layout) error {
	if err := replaceMount("/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"/run/lock", "/run/containerd", "/run/docker/containerd"} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("prepare /run: %w", err)
		}
	}
	for link, target := range map[string]string{
		"/run/docker.sock":                       root.dockerSocket(),
		"/run/docker/containerd/containerd.sock": root.containerdSocket(),
		"/run/containerd/containerd.sock":        root.containerdSocket(),
	} {
		if err := os.Symlink(target, link); err != nil {
			return fmt.Errorf("prepare /run: %w", err)
		}
	}
	return nil
}
