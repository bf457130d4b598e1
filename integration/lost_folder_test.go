package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestLostFolderOfAMove takes the folder of a container's active snapshot away that
// a move has just made, as a power cut does: the container starts on what it had,
// and nothing else is missing.
func TestLostFolderOfAMove(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	if out, err := e.build(t, "FROM busybox\nCOPY file /new\n", "-t", "newer"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		moves [][]string
		want  string
	}{
		"snapshot": {[][]string{{"snapshot"}}, "/a /b"},
		"upgrade":  {[][]string{{"upgrade", "newer"}}, "/a /b /new"},
		"rollback": {[][]string{{"upgrade", "newer"}, {"rollback"}}, "/a /b"},
	} {
		t.Run(name, func(t *testing.T) {
			before := e.rest(t)
			id := e.docker(t, "create", "--network=none", "busybox", "sh", "-c", "echo x >> /a; chmod 711 /; mkdir -p /b; echo /[ab] /new*; stat -c %a /")
			defer e.remove(t, id)
			e.docker(t, "start", "-a", id)
			for _, move := range c.moves {
				e.docker(t, append([]string{"baleen", move[0], id}, move[1:]...)...)
			}
			revisions := e.docker(t, "baleen", "revisions", "-q", id)
			e.loseFolder(t, id)
			if got, want := e.docker(t, "start", "-a", id), c.want+"\n711"; strings.TrimSuffix(strings.Replace(got, " /new*", "", 1), "\n") != want {
				t.Errorf("the container prints %q, want %q", got, want)
			}
			if now := e.docker(t, "baleen", "revisions", "-q", id); now != revisions {
				t.Errorf("its revisions were\n%s\nand are\n%s", revisions, now)
			}
			e.docker(t, "rmi", e.docker(t, "commit", id))
			e.remove(t, id)
			e.settled(t, before)
		})
	}
}

// loseFolder has a container's active snapshot be as a power cut may leave it.
func (e *env) loseFolder(t *testing.T, id string) {
	t.Helper()
	active, _ := e.foldersOf(t, id)
	err := e.StopDockerd(t.Context())
	if err == nil {
		err = os.RemoveAll(active.all)
	}
	if err == nil {
		err = e.StartDockerd(t.Context())
	}
	if err != nil {
		t.Fatal(fmt.Errorf("lose the folder of %s: %w", id, err))
	}
}

// folders are those of a snapshot of a container, by what a test calls them.
type folders struct{ all, files, work string }

// foldersOf returns the folders of a container's active snapshot, and of its layers
// below from the top.
func (e *env) foldersOf(t *testing.T, key string) (active folders, below []folders) {
	t.Helper()
	mounts, err := e.client.SnapshotService(snapshotter).Mounts(e.ctx(t), key)
	if err != nil {
		t.Fatal(err)
	}
	o, err := changes.ParseOverlay(mounts, true)
	if err != nil {
		t.Fatal(err)
	}
	of := func(files string) folders {
		all := filepath.Dir(files)
		return folders{all, files, filepath.Join(all, "work")}
	}
	for _, lower := range o.Lowers {
		below = append(below, of(lower))
	}
	return of(o.Uppers[0]), below
}
