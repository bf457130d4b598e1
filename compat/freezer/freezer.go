package freezer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

// poll is how long to wait between looks at whether all has come to a stand.
// It takes a process as long as its present system call.
const poll = 200 * time.Microsecond

// Cgroup is the control group of a container, with all below it.
type Cgroup struct {
	dir     string
	version version
	file    fs.FileInfo // of what takes orders: another group may get the name
}

// version is how one of the two kinds of control groups is told and asked.
// See Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst and
// cgroup-v2.rst, cgroup.freeze.
type version struct {
	order        string // file that takes an order
	stop, resume string
	asked        func(dir string) (bool, error) // has it been told to stop itself
	stands       func(dir string) (bool, error) // do all processes
}

var (
	v1 = version{
		order: "freezer.state", stop: "FROZEN", resume: "THAWED",
		asked:  func(dir string) (bool, error) { return has(dir, "freezer.self_freezing", "1") },
		stands: func(dir string) (bool, error) { return has(dir, "freezer.state", "FROZEN") },
	}
	v2 = version{
		order: "cgroup.freeze", stop: "1", resume: "0",
		asked:  func(dir string) (bool, error) { return has(dir, "cgroup.freeze", "1") },
		stands: func(dir string) (bool, error) { return has(dir, "cgroup.events", "frozen 1") },
	}
)

// has reports whether a file of a control group has that line.
func has(dir, file, line string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return false, err
	}
	return slices.Contains(strings.Split(string(text), "\n"), line), nil
}

// Find returns the control group of a container, one of whose processes is pid
// and whose id is in the group's name. The error is errdefs' ErrNotFound if
// there is none such, or no freezer.
func Find(pid int, id string) (*Cgroup, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("find control group of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		m, ok := membershipOf(line, id)
		if !ok {
			continue
		}
		c, err := m.open()
		if c != nil || err != nil {
			return c, err
		}
	}
	return nil, fmt.Errorf("control group of container %s, process %d, with a freezer: %w", id, pid, errdefs.ErrNotFound)
}

// membership is a line of /proc/PID/cgroup: a group of a hierarchy that may have a
// freezer.
type membership struct {
	version    version
	fsType     string
	controller string // "" if there is one hierarchy for all
	group      string // of the container; the process may be in one below it
}

// membershipOf reads a line. ok is false if it is about another container, or a
// hierarchy without a freezer.
func membershipOf(line, id string) (m membership, ok bool) {
	fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
	if len(fields) < 3 {
		return m, false
	}
	switch {
	case slices.Contains(strings.Split(fields[1], ","), "freezer"):
		m = membership{version: v1, fsType: "cgroup", controller: "freezer"}
	case fields[1] == "":
		m = membership{version: v2, fsType: "cgroup2"}
	default:
		return m, false
	}
	m.group, ok = upTo(fields[2], id)
	return m, ok
}

// upTo cuts a path behind the element that has id in it.
func upTo(path, id string) (string, bool) {
	elements := strings.Split(path, "/")
	i := slices.IndexFunc(elements, func(e string) bool { return id != "" && strings.Contains(e, id) })
	return strings.Join(elements[:i+1], "/"), i >= 0
}

// open finds the group where its hierarchy is mounted; nil if it has no freezer
// there.
func (m membership) open() (*Cgroup, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter(m.fsType))
	if err != nil {
		return nil, fmt.Errorf("find control group %s: %w", m.group, err)
	}
	for _, mount := range mounts {
		dir, ok := m.dir(mount)
		if !ok {
			continue
		}
		if file, err := os.Stat(filepath.Join(dir, m.version.order)); err == nil {
			return &Cgroup{dir: dir, version: m.version, file: file}, nil
		}
	}
	return nil, nil
}

// dir is where a mount shows the group. ok is false if it does not: it is one of
// another hierarchy, or of a part that the group is not in.
func (m membership) dir(mount *mountinfo.Info) (_ string, ok bool) {
	if m.controller != "" && !slices.Contains(strings.Split(mount.VFSOptions, ","), m.controller) {
		return "", false
	}
	below, ok := strings.CutPrefix(m.group, strings.TrimSuffix(mount.Root, "/"))
	if !ok || !strings.HasPrefix(below, "/") && below != "" || slices.Contains(strings.Split(below, "/"), "..") {
		return "", false
	}
	return filepath.Join(mount.Mountpoint, below), true
}

// Freeze stops all processes of the group, and returns when they stand still.
// The error is errdefs' ErrConflict if somebody else has frozen it; then, and
// on any error, it is left as it was.
func (c *Cgroup) Freeze(ctx context.Context) error {
	asked, err := c.version.asked(c.dir)
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if asked {
		return fmt.Errorf("freeze %s: it is frozen: %w", c.dir, errdefs.ErrConflict)
	}
	if err := c.tell(c.version.stop); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	for {
		stands, err := c.version.stands(c.dir)
		if stands && err == nil {
			return nil
		}
		if err == nil {
			select {
			case <-time.After(poll):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		return errors.Join(fmt.Errorf("freeze %s: %w", c.dir, err), c.Thaw())
	}
}

// Thaw lets the processes go on. A group that is gone is no error, also if
// another has its name.
func (c *Cgroup) Thaw() error {
	if err := c.tell(c.version.resume); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// Thaw lets a container go on that [Cgroup.Freeze] has stopped, also if that was
// another process; see [Find]. One that has no such control group is no error.
func Thaw(pid int, id string) error {
	c, err := Find(pid, id)
	if errdefs.IsNotFound(err) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Thaw()
}

func (c *Cgroup) tell(order string) error {
	f, err := os.OpenFile(filepath.Join(c.dir, c.version.order), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	file, err := f.Stat()
	switch {
	case err != nil:
	case !os.SameFile(file, c.file):
		err = fmt.Errorf("%s is another group by now: %w", c.dir, os.ErrNotExist)
	default:
		_, err = f.WriteString(order)
	}
	return errors.Join(err, f.Close())
}
