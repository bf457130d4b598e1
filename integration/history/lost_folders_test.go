package history_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestLostFolderOfAMove takes the folder of a container's active snapshot away that
// a move has just made, as a power cut does: the container starts on what it had,
// and nothing else is missing.
func TestLostFolderOfAMove(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	if out, err := e.Build(t, "FROM busybox\nCOPY file /new\n", "-t", "newer"); err != nil {
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
			before := e.StateAtRest(t)
			id := e.Must(t, "create", "--network=none", "busybox", "sh", "-c", "echo x >> /a; chmod 711 /; mkdir -p /b; echo /[ab] /new*; stat -c %a /")
			defer e.Remove(t, id)
			e.Must(t, "start", "-a", id)
			for _, move := range c.moves {
				e.Must(t, append([]string{"baleen", move[0], id}, move[1:]...)...)
			}
			revisions := e.Must(t, "baleen", "revisions", "-q", id)
			loseFolder(t, e, id)
			if got, want := e.Must(t, "start", "-a", id), c.want+"\n711"; strings.TrimSuffix(strings.Replace(got, " /new*", "", 1), "\n") != want {
				t.Errorf("the container prints %q, want %q", got, want)
			}
			if now := e.Must(t, "baleen", "revisions", "-q", id); now != revisions {
				t.Errorf("its revisions were\n%s\nand are\n%s", revisions, now)
			}
			e.Must(t, "rmi", e.Must(t, "commit", id))
			e.Remove(t, id)
			e.Settled(t, before)
		})
	}
}

// loseFolder has a container's active snapshot be as a power cut may leave it.
func loseFolder(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	active, _ := foldersOf(t, e, id)
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
func foldersOf(t *testing.T, e *harness.Env, key string) (active folders, below []folders) {
	t.Helper()
	mounts, err := e.Client.SnapshotService(harness.Snapshotter).Mounts(e.Context(t), key)
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

// lostCase is a container that begins in one way and then loses folders.
type lostCase struct {
	name, begun string
	lost        func(active folders, below []folders) []string
	want        string // of the reason; "" if the container starts
	back        string // what it prints at its start on the revision before, or why it cannot go there
	id          string
}

func lostCases() []*lostCase {
	return []*lostCase{
		{name: "all", lost: func(a folders, _ []folders) []string { return []string{a.all} }},
		{name: "files", lost: func(a folders, _ []folders) []string { return []string{a.files} }},
		{name: "work", lost: func(a folders, _ []folders) []string { return []string{a.work} }},
		{name: "init", lost: func(_ folders, b []folders) []string { return []string{b[0].all} }},
		{name: "init's files", lost: func(_ folders, b []folders) []string { return []string{b[0].files} }},
		{name: "all and init", lost: func(a folders, b []folders) []string { return []string{a.all, b[0].all} }},
		{name: "work of what was written", begun: "started", lost: func(a folders, _ []folders) []string { return []string{a.work} }},
		{name: "init below what was written", begun: "started", lost: func(_ folders, b []folders) []string { return []string{b[0].all} }},
		{name: "of a move", begun: "kept", lost: func(a folders, _ []folders) []string { return []string{a.all} }},
		{name: "init of a move", begun: "kept", lost: func(_ folders, b []folders) []string { return []string{b[1].all} }},
		{name: "started", begun: "started", lost: func(a folders, _ []folders) []string { return []string{a.all} }, want: "what the container wrote", back: "cannot be rolled back"},
		{name: "copied to", begun: "copied", lost: func(a folders, _ []folders) []string { return []string{a.files} }, want: "what the container wrote"},
		{name: "started after a move", begun: "kept and started", lost: func(a folders, _ []folders) []string { return []string{a.all} }, want: "what the container wrote", back: "kept"},
		{name: "files after a move", begun: "kept and started", lost: func(a folders, _ []folders) []string { return []string{a.files} }, want: "a rollback goes on without it", back: "kept"},
		{name: "revision", begun: "kept", lost: func(_ folders, b []folders) []string { return []string{b[0].all} }, want: ".r1", back: "cannot be rolled back"},
	}
}

// beginLost does with a container what a case says.
func beginLost(t *testing.T, e *harness.Env, id, how string) {
	t.Helper()
	switch how {
	case "":
	case "started":
		e.Must(t, "start", "-a", id)
	case "copied":
		file := filepath.Join(t.TempDir(), "file")
		harness.WriteFile(t, file, "copied\n")
		e.Must(t, "cp", file, id+":/file")
	case "kept":
		e.Must(t, "start", "-a", id)
		e.Must(t, "baleen", "snapshot", id)
	case "kept and started":
		e.Must(t, "baleen", "snapshot", id)
		e.Must(t, "start", "-a", id)
	default:
		t.Fatalf("a container does not begin %s", how)
	}
}

// loseFolders has the daemon find at its start what a power cut leaves, without folders.
func loseFolders(t *testing.T, e *harness.Env, lost []string) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After a power cut nothing is mounted.
	for _, at := range e.Mounts(t) {
		if strings.Contains(at, "/rootfs/") {
			if out, err := harness.Output(e.Command(t.Context(), "umount", at)); err != nil {
				t.Fatalf("umount %s: %v\n%s", at, err, out)
			}
		}
	}
	for _, folder := range lost {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// check starts the container, or is told why it cannot be. listed are all containers, and
// changes are those of one that lost nothing.
func (c *lostCase) check(t *testing.T, e *harness.Env, listed, changes string) {
	t.Helper()
	if !strings.Contains(listed, c.id) {
		t.Fatalf("the container is not listed; there are\n%s", listed)
	}
	reason := e.Inspect(t, c.id, "{{.State.Error}}")
	out, err := e.Try(t, "start", "-a", c.id)
	if c.want != "" {
		if !strings.Contains(reason, c.want) || err == nil || !strings.Contains(out, c.want) {
			t.Errorf("it says %q, and its start %v: %q; want %q", reason, err, out, c.want)
		}
		e.Must(t, "ps", "-as")
		if c.back != "" {
			goBack(t, e, c.id, c.back)
		}
		return
	}
	if reason != "" || err != nil || out != "/mnt/bin/sh\nok" {
		t.Errorf("it says %q, and its start %v: %q", reason, err, out)
	}
	if c.begun == "" && strings.ReplaceAll(e.Must(t, "diff", c.id), "A /mnt\n", "") != changes {
		t.Errorf("it has changed\n%s\nand another one\n%s", e.Must(t, "diff", c.id), changes)
	}
}

// TestLostFolders takes folders of containers away while no daemon runs, as a power
// cut does that comes just after they were made. A container that had nothing in
// them starts; one that had is there, says what is missing and can be removed.
func TestLostFolders(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	before := e.State(t)
	const script = "echo new > /new; ls /mnt/bin/sh; echo ok"
	var lost []string
	cases := lostCases()
	for _, c := range cases {
		c.id = e.Must(t, "create", "--network=none", "--mount", "type=image,source=busybox,destination=/mnt", "busybox", "sh", "-c", script)
		c.id = c.id[strings.LastIndexByte(c.id, '\n')+1:]
		beginLost(t, e, c.id, c.begun)
		lost = append(lost, c.lost(foldersOf(t, e, c.id))...)
	}
	healthy := e.Must(t, "create", "--network=none", "busybox", "sh", "-c", script)
	image := imageMount(t, e, cases[0].id)
	mounted, _ := foldersOf(t, e, image)
	lost = append(lost, mounted.all)

	loseFolders(t, e, lost)
	e.Must(t, "start", "-a", healthy)
	changes := e.Must(t, "diff", healthy)
	listed := e.Must(t, "ps", "-aq", "--no-trunc")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, e, listed, changes)
		})
	}
	for _, c := range cases {
		e.Must(t, "rm", "-f", c.id)
	}
	e.Must(t, "rm", "-f", healthy)
	e.Settled(t, before)
	if left, err := filepath.Glob(filepath.Join(e.DataRoot(), "containers", "*")); err != nil || len(left) > 0 {
		t.Errorf("of the containers %q are left: %v", left, err)
	}
}

// goBack rolls a container back that has lost what it wrote since.
func goBack(t *testing.T, e *harness.Env, id, want string) {
	t.Helper()
	if out, err := e.Try(t, "baleen", "rollback", id, "99"); err == nil || !strings.Contains(out, "cannot be rolled back") {
		t.Errorf("a rollback to a revision that is not there says %v: %s", err, out)
	}
	if reason := e.Inspect(t, id, "{{.State.Error}}"); !strings.Contains(reason, "lost") && !strings.Contains(reason, ".r1") {
		t.Errorf("after that it says %q", reason)
	}
	out, err := e.Try(t, "baleen", "rollback", id)
	if want != "kept" {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("its rollback says %v: %s", err, out)
		}
		return
	}
	if err != nil || !strings.Contains(out, "was lost") {
		t.Fatalf("its rollback says %v: %s", err, out)
	}
	if reason := e.Inspect(t, id, "{{.State.Error}}"); reason != "" {
		t.Errorf("on the revision it says %q", reason)
	}
	if changes := e.Must(t, "diff", id); strings.Contains(changes, "/new") {
		t.Errorf("on the revision it has changed\n%s", changes)
	}
	if out, err := e.Try(t, "start", "-a", id); err != nil || out != "/mnt/bin/sh\nok" {
		t.Errorf("its start on the revision says %v: %s", err, out)
	}
}

// imageMount is the snapshot of the image that is mounted into a container.
func imageMount(t *testing.T, e *harness.Env, id string) string {
	t.Helper()
	return filepath.Base(e.Inspect(t, id, `{{range .Mounts}}{{.Source}}{{end}}`))
}

// unsettled makes a container whose move to revision 1 was cut short, and takes the folder
// of the revision away, so that the move cannot be completed until mend is called.
func unsettled(t *testing.T, e *harness.Env) (id, folder string, mend func() error) {
	t.Helper()
	id = e.Must(t, "create", "--network=none", "busybox", "sh", "-c", "test -e /file || echo one > /file; cat /file")
	t.Cleanup(func() { e.Remove(t, id) })
	e.Must(t, "start", "-a", id)
	e.Must(t, "baleen", "upgrade", id, "newer")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.CutSwitch(t, id, 1)
	view, err := e.History(t, id).Layers(e.Context(t), id+".r1")
	if err != nil {
		t.Fatal(err)
	}
	// containerd removes what it does not know beside it.
	folder = filepath.Dir(view.Lowers[0])
	away := filepath.Join(e.ContainerdRoot(), "away")
	if err := os.Rename(folder, away); err != nil {
		t.Fatal(err)
	}
	mend = func() error { return os.Rename(away, folder) }
	if err := e.StartDockerd(t.Context()); err != nil {
		t.Fatal(errors.Join(err, mend()))
	}
	if listed := e.Must(t, "ps", "-aq", "--no-trunc"); !strings.Contains(listed, id) {
		t.Fatalf("it is not listed: %q %v", listed, mend())
	}
	if got := e.Inspect(t, id, "{{.State.Error}}"); !strings.Contains(got, "settle an interrupted move") {
		t.Errorf("it says %q", got)
	}
	e.Must(t, "ps", "-as")
	return id, folder, mend
}

// TestUnsettledContainer starts the daemon on a container whose switch to another
// revision was cut in two, and cannot be completed: the container is there and says
// why, starts when it can be completed, as what it is then, and can be removed.
func TestUnsettledContainer(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	if out, err := e.Build(t, "FROM busybox\nLABEL newer=1\n", "-t", "newer"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, end := range map[string]func(t *testing.T, id string, mend func() error){
		"completed": func(t *testing.T, id string, mend func() error) {
			if out, err := e.Try(t, "start", "-a", id); err == nil || !strings.Contains(out, "settle an interrupted move") {
				t.Errorf("before it can be completed its start says %v: %s", err, out)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			if out := e.Must(t, "start", "-a", id); out != "one" {
				t.Errorf("it prints %q", out)
			}
			if got := e.Inspect(t, id, "{{.Config.Image}} {{.Config.Labels}} {{.State.Error}}"); got != "busybox map[] " {
				t.Errorf("it is %q", got)
			}
			e.Must(t, "rm", id)
		},
		"completed at the next start": func(t *testing.T, id string, mend func() error) {
			if err := errors.Join(e.StopDockerd(t.Context()), mend(), e.StartDockerd(t.Context())); err != nil {
				t.Fatal(err)
			}
			if got := e.Inspect(t, id, "{{.Config.Image}} {{.State.Error}}"); got != "busybox " {
				t.Errorf("it is %q", got)
			}
			if out := e.Must(t, "start", "-a", id); out != "one" {
				t.Errorf("it prints %q", out)
			}
			e.Must(t, "rm", id)
		},
		"removed": func(t *testing.T, id string, mend func() error) {
			e.Must(t, "rm", "-f", id)
			if err := mend(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := e.StateAtRest(t)
			id, folder, mend := unsettled(t, e)
			end(t, id, mend)
			if name == "removed" {
				if err := os.RemoveAll(folder); err != nil {
					t.Fatal(err)
				}
			}
			e.Settled(t, before)
		})
	}
}
