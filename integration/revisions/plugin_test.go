package revisions_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestPluginOnADaemon: what the commands of docker baleen say of a daemon is so.
func TestPluginOnADaemon(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.WithRegistry(t, t.TempDir())
	e.BuildApp(t, "app:1", "")
	e.BuildApp(t, "app:2", "")
	for name, test := range map[string]func(t *testing.T, e *harness.Env){
		"disk usage":                 testDiskUsage,
		"a size that cannot be had":  testSizesOfOthers,
		"errors":                     testErrorsOfMoves,
		"an upgrade follows its tag": testUpgradeFollowsTag,
		"an upgrade pulls":           testUpgradePulls,
		"prune keeps what it is to":  testPruneKeeps,
		"a rollback of nothing":      testRollbackOfNothing,
		"a user with another id":     testUserWithAnotherID,
	} {
		t.Run(name, func(t *testing.T) { test(t, e) })
	}
}

// write has a container write a file of random bytes.
func write(t *testing.T, e *harness.Env, name, path, megabytes string) {
	t.Helper()
	e.Must(t, "exec", name, "dd", "if=/dev/urandom", "of="+path, "bs=1M", "count="+megabytes)
}

// testDiskUsage: docker system df counts no revisions, docker baleen df does, and what it
// calls reclaimable is what a prune gives back.
func testDiskUsage(t *testing.T, e *harness.Env) {
	start(t, e, "web", "app:1")
	images := func() string {
		return e.Must(t, "system", "df", "--format", `{{if eq .Type "Images"}}{{.Size}} {{.Reclaimable}}{{end}}`)
	}
	usage := func() (u api.DiskUsage) {
		t.Helper()
		if err := json.Unmarshal([]byte(e.Must(t, "baleen", "df", "--format", "json")), &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	var before string
	if u := usage(); u.Revisions != 0 || len(u.Containers) != 0 {
		t.Errorf("without revisions there is %+v", u)
	}
	for n := range 3 { // each revision has the file anew
		write(t, e, "web", "/data/big", "8")
		e.Must(t, "stop", "web")
		e.Snapshot(t, "web", "")
		e.Must(t, "start", "web")
		if n == 1 { // an image has the file of this one, too: linked, where it is not cloned
			e.Must(t, "commit", "web", "linked")
			before = images()
		}
	}
	e.Rollback(t, "web", api.RollbackRequest{Revision: 1})
	if after := images(); after != before {
		t.Errorf("docker system df says of images %q, and said %q", after, before)
	}
	u := usage()
	const mb = 1 << 20
	onDisk := snapshotsOnDisk(t, e)
	if len(u.Containers) != 1 || u.Containers[0].Name != "web" || u.Size < 24*mb || u.Size > 25*mb || u.Shared < 8*mb || u.Shared > 17*mb {
		t.Errorf("docker baleen df says %+v, want about 24 MiB, of which 8 are shared, or 16 with those of the image", u)
	}
	var pruned api.PruneReport
	if err := json.Unmarshal([]byte(e.Must(t, "baleen", "prune", "--force", "--format", "json", "web")), &pruned); err != nil {
		t.Fatal(err)
	}
	if pruned.SpaceReclaimed != u.Reclaimable {
		t.Errorf("a prune gave back %d bytes of %d that were reclaimable", pruned.SpaceReclaimed, u.Reclaimable)
	}
	// A snapshot has some folders besides its files.
	if gone := onDisk - snapshotsOnDisk(t, e); gone < u.Reclaimable || gone > u.Reclaimable+128<<10 {
		t.Errorf("by du a prune gave back %d bytes of %d that were reclaimable", gone, u.Reclaimable)
	}
	if left := usage(); left.Reclaimable != 0 || left.Size < 8*mb || left.Size > 9*mb {
		t.Errorf("after the prune there is %+v", left)
	}
	if table := e.Must(t, "baleen", "df"); !strings.Contains(table, "RECLAIMABLE") || !strings.Contains(table, "\nweb ") {
		t.Errorf("the table is\n%s", table)
	}
}

// snapshotsOnDisk is what du measures of the folders of snapshots.
func snapshotsOnDisk(t *testing.T, e *harness.Env) (bytes int64) {
	t.Helper()
	e.CollectGarbage(t)
	folder := filepath.Join(e.ContainerdRoot(), "io.containerd.snapshotter.v1."+harness.Snapshotter)
	out, err := exec.Command("du", "-s", "--block-size=1", folder).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// testSizesOfOthers: docker ps -s lists all containers if the size of one cannot be had.
func testSizesOfOthers(t *testing.T, e *harness.Env) {
	start(t, e, "whole", "app:1")
	write(t, e, "whole", "/data/big", "4")
	id := e.Create(t, "--name", "broken", "app:1")
	t.Cleanup(func() { e.Remove(t, "broken") })
	upper := upperOf(t, e.ActiveMounts(t, harness.Snapshotter, id))
	if err := os.Rename(upper, upper+".away"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Rename(upper+".away", upper); err != nil {
			t.Error(err)
		}
	}()
	sizes := e.Must(t, "ps", "-a", "-s", "--format", "{{.Names}} {{.Size}}")
	if !strings.Contains(sizes, "whole 4.2") || !strings.Contains(sizes, "broken 0B") {
		t.Errorf("docker ps -s prints\n%s", sizes)
	}
}

func upperOf(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	for _, m := range mounts {
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				return filepath.Clean(dir)
			}
		}
	}
	t.Fatalf("there is no upper in %+v", mounts)
	return ""
}

// testErrorsOfMoves: an error names the container once, by the short id, and no class.
func testErrorsOfMoves(t *testing.T, e *harness.Env) {
	start(t, e, "web", "app:1")
	short := e.Inspect(t, "web", "{{.Id}}")[:12]
	for args, want := range map[string]string{
		"rollback web 99":   "Error response from daemon: rollback container " + short + ": revision 99 does not exist, or has been pruned",
		"rollback web":      "Error response from daemon: rollback container " + short + ": no previous revision",
		"upgrade web gone":  "Error response from daemon: upgrade container " + short + " to gone: No such image: gone:latest",
		"revisions nothing": "Error response from daemon: No such container: nothing",
	} {
		out, err := e.Try(t, append([]string{"baleen"}, strings.Fields(args)...)...)
		last := out[strings.LastIndex(out, "\n")+1:]
		if err == nil || !strings.HasSuffix(last, want) {
			t.Errorf("%s prints %q, want %q", args, out, want)
		}
	}
}

// testUpgradeFollowsTag: without an image an upgrade goes to the image that has the name
// of the container's image now, and leaves a container alone that stands on it.
func testUpgradeFollowsTag(t *testing.T, e *harness.Env) {
	e.Must(t, "tag", "app:1", "tagged")
	start(t, e, "web", "tagged")
	since := e.Inspect(t, "web", "{{.State.StartedAt}}")
	if out := e.Must(t, "baleen", "upgrade", "web"); out != "web stands on its image's newest version already: nothing to do." {
		t.Errorf("on its tag's image it prints %q", out)
	}
	if now := e.Inspect(t, "web", "{{.State.StartedAt}}"); now != since {
		t.Error("the container was started again for nothing")
	}
	e.Must(t, "tag", "app:2", "tagged")
	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "web")
	e.MustRead(t, "web", "/version", "app:2")
	id := e.Must(t, "image", "inspect", "-f", "{{.Id}}", "app:1")
	start(t, e, "by-id", id)
	if out, err := e.Try(t, "baleen", "upgrade", "by-id"); err == nil && !strings.Contains(out, "nothing to do") {
		t.Errorf("of an image by its id it prints %q", out)
	}
	if status, answer := e.Request(t, "POST", "/containers/by-id/upgrade", `{}`); status != 400 || !strings.Contains(answer, "created from an image by its id") {
		t.Errorf("the API answers %d %s", status, answer)
	}
}

// testUpgradePulls: --pull has the image that the registry has now.
func testUpgradePulls(t *testing.T, e *harness.Env) {
	const ref = harness.RegistryAddress + "/app:latest"
	e.Must(t, "tag", "app:2", ref)
	e.Push(t, ref)
	e.Must(t, "tag", "app:1", ref)
	start(t, e, "web", ref)
	e.MustRead(t, "web", "/version", "app:1")
	out := e.Must(t, "baleen", "upgrade", "--pull", "-q", "--health-timeout", "1s", "web")
	if out != "2" {
		t.Errorf("it prints %q", out)
	}
	e.MustRead(t, "web", "/version", "app:2")
	if out, err := e.Try(t, "baleen", "upgrade", "--pull", "web", harness.RegistryAddress+"/gone"); err == nil || !strings.Contains(out, "gone") {
		t.Errorf("of an image that the registry does not have it prints %q", out)
	}
	e.MustRead(t, "web", "/version", "app:2")
}

// testPruneKeeps: --keep 3 leaves three revisions, though each stands on the one before.
func testPruneKeeps(t *testing.T, e *harness.Env) {
	id := e.Create(t, "--name", "kept", "app:1")
	t.Cleanup(func() { e.Remove(t, "kept") })
	for n := range 5 {
		e.Must(t, "start", "kept")
		e.Must(t, "exec", "kept", "sh", "-c", fmt.Sprintf("echo %d > /last; head -c 100000 /dev/urandom > /data/%d", n+1, n+1))
		e.Must(t, "kill", "kept")
		e.Snapshot(t, id, "")
	}
	out := e.Must(t, "baleen", "prune", "--keep", "3", "kept")
	if want := "Removed revision 1\nRemoved revision 2\nTotal reclaimed space: 0B\nStill in use: 2"; !strings.HasPrefix(out, want) {
		t.Errorf("it prints\n%s", out)
	}
	if left := e.Must(t, "baleen", "revisions", "-q", "kept"); left != "5\n4\n3" {
		t.Errorf("it leaves\n%s", left)
	}
	// By now what is removed weighs more than what stays, and is merged with that: each
	// revision has overwritten a file.
	out = e.Must(t, "baleen", "prune", "--keep", "2", "kept")
	if !strings.HasPrefix(out, "Removed revision 3\nTotal reclaimed space: ") || strings.Contains(out, " 0B") || strings.Contains(out, "Still in use") {
		t.Errorf("it prints\n%s", out)
	}
	if out, err := e.Try(t, "baleen", "rollback", "kept", "2"); err == nil || !strings.Contains(out, "does not exist, or has been pruned") {
		t.Errorf("a rollback to one that was removed prints %s", out)
	}
	e.Must(t, "baleen", "rollback", "kept", "4")
	e.Must(t, "start", "kept")
	if got := e.Must(t, "exec", "kept", "sh", "-c", "cat /last; ls /data"); got != "4\n1\n2\n3\n4" {
		t.Errorf("revision 4 has\n%s", got)
	}
	if out := e.Must(t, "baleen", "check"); !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("the check says\n%s", out)
	}
}

// testRollbackOfNothing: a container that has written nothing since its revision leaves no
// other one behind, unless a message asks for it.
func testRollbackOfNothing(t *testing.T, e *harness.Env) {
	e.Create(t, "--name", "idle", "app:1")
	t.Cleanup(func() { e.Remove(t, "idle") })
	listed := func(want string) {
		t.Helper()
		got := e.Must(t, "baleen", "revisions", "--format", "{{.Number}}{{if .Current}}*{{end}}", "idle")
		if got = strings.ReplaceAll(got, "\n", " "); got != want {
			t.Errorf("the revisions are %s, want %s", got, want)
		}
	}
	e.Must(t, "baleen", "upgrade", "idle", "app:2")
	listed("2* 1")
	out := e.Must(t, "baleen", "rollback", "idle")
	if want := "idle is on revision 1, app:1, and is stopped.\nTo go back: docker baleen rollback idle 2"; !strings.HasSuffix(out, want) {
		t.Errorf("it prints\n%s", out)
	}
	listed("2 1*")
	e.Must(t, "baleen", "rollback", "idle", "2")
	listed("2* 1")
	e.Must(t, "baleen", "rollback", "-m", "for the record", "idle", "1")
	listed("3 2 1*")
	e.Must(t, "start", "idle")
	e.MustRead(t, "idle", "/version", "app:1")
	e.Must(t, "exec", "idle", "touch", "/written")
	e.Must(t, "kill", "idle")
	e.Must(t, "baleen", "rollback", "idle", "2")
	listed("4 3 2* 1")
	e.Must(t, "baleen", "rollback", "idle", "4")
	listed("4* 3 2 1")
	e.Must(t, "start", "idle")
	e.Must(t, "exec", "idle", "ls", "/written")
	e.Must(t, "exec", "idle", "chmod", "700", "/") // the root alone
	e.Must(t, "kill", "idle")
	e.Must(t, "baleen", "rollback", "idle", "2")
	listed("5 4 3 2* 1")
	if out := e.Must(t, "baleen", "check"); !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("the check says\n%s", out)
	}
}
