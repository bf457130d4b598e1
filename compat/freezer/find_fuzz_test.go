package freezer_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/baleen-project/baleen/compat/freezer"
)

// FuzzDirs: whatever groups a container makes below its own, and wherever a
// hierarchy is mounted, only a folder is taken that lies in the mount of a
// hierarchy with a freezer and is the container's own group: its last name has the
// id in it, and a line of the process names it.
func FuzzDirs(f *testing.F) {
	const (
		v1 = "12:pids:/docker/x\n7:freezer,net:/docker/0123456789abcdef\n1:name=systemd:/\n"
		v2 = "0::/system.slice/docker-0123456789abcdef.scope/below\n"
	)
	for _, text := range []string{
		v1, v2, "0::/\n", "0::/../../docker/0123456789abcdef\n", "0::/docker/../0123456789abcdef/../..\n", "0::/a/0123456789abcdef (deleted)\n", "0::/docker2/0123456789abcdef\n",
		"7:freezer:/docker/0123456789abcdef/0123456789abcdef/..\n", "7:freezer", "7:freezer:", ":::", "0::0123456789abcdef", "7:freezer:/a:b/0123456789abcdef \n", "7:unfreezer:/0123456789abcdef\n",
	} {
		f.Add(text, id, "/", "/sys/fs/cgroup/freezer", "rw,freezer")
		f.Add(text, id, "/docker", "/sys/fs/cgroup", "rw")
		f.Add(text, id[:1], "/../..", "/mnt", "rw,freezer")
		f.Add(text, "", "", "/", "freezer")
	}
	f.Fuzz(func(t *testing.T, text, id, root, point, options string) {
		if !path.IsAbs(point) || path.Clean(point) != point {
			return // the kernel tells no such place
		}
		for _, kind := range []string{"cgroup", "cgroup2", "tmpfs"} {
			mount := &mountinfo.Info{FSType: kind, Root: root, Mountpoint: point, VFSOptions: options}
			for _, dir := range freezer.Dirs(text, id, []*mountinfo.Info{mount}) {
				checkDir(t, dir, text, id, mount)
			}
		}
	})
}

var (
	hasFreezer = regexp.MustCompile(`(^|,)freezer(,|$)`)
	ofFreezer  = regexp.MustCompile(`^[^:]*:(?:[^:]*,)?(?:freezer)?(?:,[^:]*)?:`)
)

func checkDir(t *testing.T, dir, text, id string, mount *mountinfo.Info) {
	t.Helper()
	below, inside := strings.CutPrefix(dir, strings.TrimSuffix(mount.Mountpoint, "/"))
	if path.Clean(dir) != dir || !inside || below != "" && below[0] != '/' {
		t.Fatalf("%q is not in the mount %q", dir, mount.Mountpoint)
	}
	if mount.FSType != "cgroup2" && (mount.FSType != "cgroup" || !hasFreezer.MatchString(mount.VFSOptions)) {
		t.Errorf("%q is in a mount without a freezer: %+v", dir, mount)
	}
	// What is in the mount, behind what the mount shows, is what the kernel wrote
	// of the process, up to the first name with the id.
	for line := range strings.Lines(text) {
		at := ofFreezer.FindString(line)
		group := strings.TrimSuffix(line[len(at):], "\n")
		if at == "" || !strings.Contains(group, id) {
			continue
		}
		end := strings.Index(group, id) + len(id)
		if more := strings.IndexByte(group[end:], '/'); more >= 0 {
			group = group[:end+more]
		}
		if shown := strings.TrimSuffix(mount.Root, "/") + below; id != "" && (path.Clean(group) == path.Clean(shown) || group == shown) {
			return
		}
	}
	t.Errorf("%q is of no line of %q with %q", dir, text, id)
}
