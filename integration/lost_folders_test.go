package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// TestLostFolders takes folders of containers away while no daemon runs, as a power
// cut does that comes just after they were made. A container that had nothing in
// them starts; one that had is there, says what is missing and can be removed.
func TestLostFolders(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	before := e.state(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "copied\n")
	const script = "echo new > /new; ls /mnt/bin/sh; echo ok"
	begin := map[string]func(t *testing.T, id string){
		"":        func(*testing.T, string) {},
		"started": func(t *testing.T, id string) { e.docker(t, "start", "-a", id) },
		"copied":  func(t *testing.T, id string) { e.docker(t, "cp", file, id+":/file") },
		"kept":    func(t *testing.T, id string) { e.docker(t, "start", "-a", id); e.docker(t, "baleen", "snapshot", id) },
		"kept and started": func(t *testing.T, id string) {
			e.docker(t, "baleen", "snapshot", id)
			e.docker(t, "start", "-a", id)
		},
	}
	cases := []*struct {
		name, begun string
		lost        func(active folders, below []folders) []string
		want        string // of the reason; "" if the container starts
		back        string // what it prints at its start on the revision before, or why it cannot go there
		id          string
	}{
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
	var lost []string
	for _, c := range cases {
		c.id = e.docker(t, "create", "--network=none", "--mount", "type=image,source=busybox,destination=/mnt", "busybox", "sh", "-c", script)
		c.id = c.id[strings.LastIndexByte(c.id, '\n')+1:]
		begin[c.begun](t, c.id)
		lost = append(lost, c.lost(e.foldersOf(t, c.id))...)
	}
	healthy := e.docker(t, "create", "--network=none", "busybox", "sh", "-c", script)
	image := e.imageMount(t, cases[0].id)
	mounted, _ := e.foldersOf(t, image)
	lost = append(lost, mounted.all)

	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After a power cut nothing is mounted.
	for _, at := range e.mounts(t) {
		if strings.Contains(at, "/rootfs/") {
			if out, err := output(e.Command(t.Context(), "umount", at)); err != nil {
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
	e.docker(t, "start", "-a", healthy)
	changes := e.docker(t, "diff", healthy)
	listed := e.docker(t, "ps", "-aq", "--no-trunc")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(listed, c.id) {
				t.Fatalf("the container is not listed; there are\n%s", listed)
			}
			reason := e.inspect(t, c.id, "{{.State.Error}}")
			out, err := e.try(t, "start", "-a", c.id)
			if c.want != "" {
				if !strings.Contains(reason, c.want) || err == nil || !strings.Contains(out, c.want) {
					t.Errorf("it says %q, and its start %v: %q; want %q", reason, err, out, c.want)
				}
				e.docker(t, "ps", "-as")
				if c.back != "" {
					goBack(t, e, c.id, c.back)
				}
				return
			}
			if reason != "" || err != nil || out != "/mnt/bin/sh\nok" {
				t.Errorf("it says %q, and its start %v: %q", reason, err, out)
			}
			if c.begun == "" && strings.ReplaceAll(e.docker(t, "diff", c.id), "A /mnt\n", "") != changes {
				t.Errorf("it has changed\n%s\nand another one\n%s", e.docker(t, "diff", c.id), changes)
			}
		})
	}
	for _, c := range cases {
		e.docker(t, "rm", "-f", c.id)
	}
	e.docker(t, "rm", "-f", healthy)
	e.settled(t, before)
	if left, err := filepath.Glob(filepath.Join(e.DataRoot(), "containers", "*")); err != nil || len(left) > 0 {
		t.Errorf("of the containers %q are left: %v", left, err)
	}
}

// goBack rolls a container back that has lost what it wrote since.
func goBack(t *testing.T, e *env, id, want string) {
	t.Helper()
	if out, err := e.try(t, "baleen", "rollback", id, "99"); err == nil || !strings.Contains(out, "cannot be rolled back") {
		t.Errorf("a rollback to a revision that is not there says %v: %s", err, out)
	}
	if reason := e.inspect(t, id, "{{.State.Error}}"); !strings.Contains(reason, "lost") && !strings.Contains(reason, ".r1") {
		t.Errorf("after that it says %q", reason)
	}
	out, err := e.try(t, "baleen", "rollback", id)
	if want != "kept" {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("its rollback says %v: %s", err, out)
		}
		return
	}
	if err != nil || !strings.Contains(out, "was lost") {
		t.Fatalf("its rollback says %v: %s", err, out)
	}
	if reason := e.inspect(t, id, "{{.State.Error}}"); reason != "" {
		t.Errorf("on the revision it says %q", reason)
	}
	if changes := e.docker(t, "diff", id); strings.Contains(changes, "/new") {
		t.Errorf("on the revision it has changed\n%s", changes)
	}
	if out, err := e.try(t, "start", "-a", id); err != nil || out != "/mnt/bin/sh\nok" {
		t.Errorf("its start on the revision says %v: %s", err, out)
	}
}

// imageMount is the snapshot of the image that is mounted into a container.
func (e *env) imageMount(t *testing.T, id string) string {
	t.Helper()
	return filepath.Base(e.inspect(t, id, `{{range .Mounts}}{{.Source}}{{end}}`))
}

// TestUnsettledContainer starts the daemon on a container whose switch to another
// revision was cut in two, and cannot be completed: the container is there and says
// why, starts when it can be completed, as what it is then, and can be removed.
func TestUnsettledContainer(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"bridge": "none"}}, "busybox")
	if out, err := e.build(t, "FROM busybox\nLABEL newer=1\n", "-t", "newer"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, end := range map[string]func(t *testing.T, id string, mend func() error){
		"completed": func(t *testing.T, id string, mend func() error) {
			if out, err := e.try(t, "start", "-a", id); err == nil || !strings.Contains(out, "settle an interrupted move") {
				t.Errorf("before it can be completed its start says %v: %s", err, out)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			if out := e.docker(t, "start", "-a", id); out != "one" {
				t.Errorf("it prints %q", out)
			}
			if got := e.inspect(t, id, "{{.Config.Image}} {{.Config.Labels}} {{.State.Error}}"); got != "busybox map[] " {
				t.Errorf("it is %q", got)
			}
			e.docker(t, "rm", id)
		},
		"completed at the next start": func(t *testing.T, id string, mend func() error) {
			if err := errors.Join(e.StopDockerd(t.Context()), mend(), e.StartDockerd(t.Context())); err != nil {
				t.Fatal(err)
			}
			if got := e.inspect(t, id, "{{.Config.Image}} {{.State.Error}}"); got != "busybox " {
				t.Errorf("it is %q", got)
			}
			if out := e.docker(t, "start", "-a", id); out != "one" {
				t.Errorf("it prints %q", out)
			}
			e.docker(t, "rm", id)
		},
		"removed": func(t *testing.T, id string, mend func() error) {
			e.docker(t, "rm", "-f", id)
			if err := mend(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := e.rest(t)
			id := e.docker(t, "create", "--network=none", "busybox", "sh", "-c", "test -e /file || echo one > /file; cat /file")
			defer e.remove(t, id)
			e.docker(t, "start", "-a", id)
			e.docker(t, "baleen", "upgrade", id, "newer")
			if err := e.StopDockerd(t.Context()); err != nil {
				t.Fatal(err)
			}
			e.cutSwitch(t, id, 1)
			view, err := e.history(t, id).Layers(e.ctx(t), id+".r1")
			if err != nil {
				t.Fatal(err)
			}
			// containerd removes what it does not know beside it.
			folder, away := filepath.Dir(view.Lowers[0]), filepath.Join(e.ContainerdRoot(), "away")
			if err := os.Rename(folder, away); err != nil {
				t.Fatal(err)
			}
			mend := func() error { return os.Rename(away, folder) }
			if err := e.StartDockerd(t.Context()); err != nil {
				t.Fatal(errors.Join(err, mend()))
			}
			if listed := e.docker(t, "ps", "-aq", "--no-trunc"); !strings.Contains(listed, id) {
				t.Fatalf("it is not listed: %q %v", listed, mend())
			}
			if got := e.inspect(t, id, "{{.State.Error}}"); !strings.Contains(got, "settle an interrupted move") {
				t.Errorf("it says %q", got)
			}
			e.docker(t, "ps", "-as")
			end(t, id, mend)
			if name == "removed" {
				if err := os.RemoveAll(folder); err != nil {
					t.Fatal(err)
				}
			}
			e.settled(t, before)
		})
	}
}
