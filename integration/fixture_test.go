package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/fixture"
	"github.com/baleen-project/baleen/integration/stack"
)

// firstDataRoot was written by the version of 2026-11-21.
const firstDataRoot = "../testdata/dataroot-8ce2f1a.tar.zst"

// TestDataRootOfBefore starts the daemons on a data root that an earlier version has
// written.
func TestDataRootOfBefore(t *testing.T) { useDataRoot(t, firstDataRoot, stack.Config{}) }

// useDataRoot starts daemons as base says on copies of a data root, which an earlier
// version has written. All that is in it is there and of use, and goes when it is
// removed.
func useDataRoot(t *testing.T, archive string, base stack.Config) {
	f, err := fixture.Load(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Daemons {
		t.Run(d.Name, func(t *testing.T) {
			e := newEnv(t, f.On(base, d))
			mustHold(t, e.observe(t, d), d)
			e.goOn(t, d)
			e.consistent(t)
			e.clear(t, d)
		})
	}
}

// fixtureLook is what every container of a fixture can run: it tells what it sees.
// It writes nothing.
const fixtureLook = `cat /app/version /app/conf; echo "$FROM_IMAGE $OWNER"; ls /data /opaque /app; cat /data/[0-9] /vol/* 2>/dev/null; id -u; stat -c '%u:%g %a' /data`

// observe looks at all that d names, and uses it: containers are started, and
// moved to each of their revisions, and checkpoints are restored.
func (e *env) observe(t *testing.T, d fixture.Daemon) fixture.Daemon {
	t.Helper()
	d.Containers, d.Images, d.Checkpoints = slices.Clone(d.Containers), slices.Clone(d.Images), slices.Clone(d.Checkpoints)
	for i, c := range d.Containers {
		// Before anything is started.
		if c.Status == "" {
			continue
		}
		e.eventually(t, "container "+c.Name+" to be "+c.Status, func() error {
			d.Containers[i].Status = e.inspect(t, c.Name, "{{.State.Status}}")
			if d.Containers[i].Status != c.Status {
				return errors.New("it is " + d.Containers[i].Status)
			}
			return nil
		})
	}
	for i := range d.Containers {
		c := &d.Containers[i]
		c.State = e.stateOf(t, c.Name)
		c.Says = e.says(t, c.Name)
		e.visit(t, c.Name, c.Revisions)
	}
	for i, image := range d.Images {
		d.Images[i].Says = e.docker(t, "run", "--rm", "--network=none", image.Name, "sh", "-c", fixtureLook)
	}
	for i, c := range d.Checkpoints {
		const name = "restored"
		e.docker(t, "baleen", "restore", "-q", "--create-only", "--name", name, c.Name)
		d.Checkpoints[i].Files = e.tree(t, name)
		d.Checkpoints[i].Says = e.says(t, name)
		e.docker(t, "rm", "-f", "-v", name)
	}
	return d
}

// goOn does with the containers what a user may do next: they are compared, committed,
// kept as another revision, and upgraded.
func (e *env) goOn(t *testing.T, d fixture.Daemon) {
	t.Helper()
	for _, c := range d.Containers {
		e.docker(t, "diff", c.Name)
		image, of := e.docker(t, "commit", c.Name), "made-of-"+c.Name
		e.docker(t, "create", "--name", of, image)
		sameLines(t, "files of an image of container "+c.Name, e.tree(t, of), e.tree(t, c.Name))
		e.docker(t, "rm", "-v", of)
		e.docker(t, "rmi", image)
		e.docker(t, "baleen", "snapshot", c.Name)
		other := "app:2"
		if e.inspect(t, c.Name, "{{.Config.Image}}") == other {
			other = "app:1"
		}
		e.docker(t, "baleen", "upgrade", c.Name, other)
		if got := e.inspect(t, c.Name, "{{.Config.Image}}"); got != other {
			t.Errorf("after the upgrade container %s is of image %s", c.Name, got)
		}
	}
}

// stateOf is the state of a container but for the files of its revisions.
func (e *env) stateOf(t *testing.T, name string) fixture.State {
	t.Helper()
	s := fixture.State{
		Image: e.inspect(t, name, "{{.Config.Image}}"),
		Env:   strings.Split(e.inspect(t, name, `{{join .Config.Env "\n"}}`), "\n"),
		Files: e.tree(t, name),
	}
	for _, r := range e.revisions(t, name) {
		s.Revisions = append(s.Revisions, fixture.Revision{
			Number: r.Number, Kind: string(r.Kind), Image: r.Image, Message: r.Message, Previous: r.Previous, Current: r.Current,
		})
	}
	return s
}

// tree lists the files of a container, as docker export has them.
func (e *env) tree(t *testing.T, name string) []string {
	t.Helper()
	cmd := e.Docker(t.Context(), "export", name)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker export %s: %v: %s", name, err, said.String())
	}
	tree, err := fixture.Tree(&out)
	if err != nil {
		t.Fatalf("docker export %s: %v", name, err)
	}
	return tree
}

// says starts a container, has it tell what it sees, and ends it.
func (e *env) says(t *testing.T, name string) string {
	t.Helper()
	if e.inspect(t, name, "{{.State.Running}}") != "true" {
		e.docker(t, "start", name)
	}
	said := e.docker(t, "exec", name, "sh", "-c", fixtureLook)
	e.docker(t, "update", "--restart=no", name)
	e.docker(t, "kill", name)
	e.docker(t, "wait", name)
	return said
}

// visit goes to each of the revisions, and lists the files there.
func (e *env) visit(t *testing.T, name string, revisions []fixture.Revision) {
	t.Helper()
	for i, r := range revisions {
		e.rollback(t, name, api.RollbackRequest{Revision: r.Number})
		revisions[i].Files = e.tree(t, name)
	}
}

// mustHold compares what was found with what the version that wrote it found.
func mustHold(t *testing.T, got, want fixture.Daemon) {
	t.Helper()
	for i, c := range want.Containers {
		found := got.Containers[i]
		if c.Cut != nil && !c.Cut.Done && !reflect.DeepEqual(found.State, c.State) {
			t.Logf("%s: the operation that was cut short was completed", c.Name)
			found.State, c.State = found.Timeless(), c.Cut.New.Timeless()
			found.Says = c.Says // it is of the state before
		}
		if found.Image != c.Image || !slices.Equal(found.Env, c.Env) {
			t.Errorf("container %s is of image %s with %q, want %s with %q", c.Name, found.Image, found.Env, c.Image, c.Env)
		}
		sameLines(t, "files of container "+c.Name, found.Files, c.Files)
		sameLines(t, "revisions of container "+c.Name, revisionLines(found.Revisions), revisionLines(c.Revisions))
		for i := range min(len(c.Revisions), len(found.Revisions)) {
			sameLines(t, fmt.Sprintf("files of revision %d of container %s", c.Revisions[i].Number, c.Name), found.Revisions[i].Files, c.Revisions[i].Files)
		}
		sameLines(t, "output of container "+c.Name, strings.Split(found.Says, "\n"), strings.Split(c.Says, "\n"))
	}
	for i, image := range want.Images {
		sameLines(t, "output of image "+image.Name, strings.Split(got.Images[i].Says, "\n"), strings.Split(image.Says, "\n"))
	}
	for i, c := range want.Checkpoints {
		sameLines(t, "files of checkpoint "+c.Name, got.Checkpoints[i].Files, c.Files)
		sameLines(t, "output of checkpoint "+c.Name, strings.Split(got.Checkpoints[i].Says, "\n"), strings.Split(c.Says, "\n"))
	}
}

func revisionLines(revisions []fixture.Revision) (lines []string) {
	for _, r := range revisions {
		lines = append(lines, fmt.Sprintf("%d<%d %s %s %q current %v", r.Number, r.Previous, r.Kind, r.Image, r.Message, r.Current))
	}
	return lines
}

// sameLines fails with the lines that only one has.
func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	var diff strings.Builder
	for _, side := range []struct {
		mark         string
		lines, other []string
	}{{"-", want, got}, {"+", got, want}} {
		for _, line := range side.lines {
			if !slices.Contains(side.other, line) {
				fmt.Fprintf(&diff, "%s%s\n", side.mark, line)
			}
		}
	}
	t.Errorf("%s (- lost, + new):\n%s", what, diff.String())
}

// clear removes all that the daemon has, and checks that nothing of it stays.
func (e *env) clear(t *testing.T, d fixture.Daemon) {
	t.Helper()
	var names []string
	for _, c := range d.Containers {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	has := strings.Fields(e.docker(t, "ps", "-a", "--format", "{{.Names}}"))
	slices.Sort(has)
	if !slices.Equal(has, names) {
		t.Errorf("docker ps -a shows %q, want %q", has, names)
	}
	ids := strings.Fields(e.docker(t, "ps", "-aq", "--no-trunc"))
	e.docker(t, append([]string{"rm", "-f", "-v"}, ids...)...)
	for _, kind := range []string{"image", "volume"} {
		e.docker(t, kind, "prune", "-af")
	}
	e.eventually(t, "all to go", func() error { return e.isEmpty(t, d, ids) })
}

// isEmpty returns an error that lists what there is of the daemon in containerd's
// stores and on disk, where it had the containers of those ids. The snapshotter
// may hold folders of others.
func (e *env) isEmpty(t *testing.T, d fixture.Daemon, ids []string) error {
	t.Helper()
	driver, root, _ := strings.Cut(e.docker(t, "info", "-f", "{{.Driver}} {{.DockerRootDir}}"), " ")
	all, err := e.client.NamespaceService().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	others := 0
	for _, namespace := range all {
		ctx := namespaces.WithNamespace(t.Context(), namespace)
		err := e.client.SnapshotService(driver).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			if namespace == d.Namespace {
				left = append(left, "snapshot "+i.Name)
			} else {
				others++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := namespaces.WithNamespace(t.Context(), d.Namespace)
	err = e.client.ContentStore().Walk(ctx, func(i content.Info) error {
		left = append(left, "blob "+i.Digest.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := e.client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var s state
	for _, l := range leases {
		if len(l.Labels) > 0 || !buildkitLease.MatchString(l.ID) {
			s.leases = append(s.leases, fmt.Sprint(l.ID, " ", l.Labels))
		}
	}
	for _, l := range withoutStarts(s).leases {
		left = append(left, "lease "+l)
	}
	folders, err := os.ReadDir(filepath.Join(e.ContainerdRoot(), "io.containerd.snapshotter.v1."+driver, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) != others {
		left = append(left, fmt.Sprintf("%d folders of snapshots, of which %d belong to others", len(folders), others))
	}
	for _, id := range ids {
		folder := filepath.Join(root, "containers", id)
		if _, err := os.Lstat(folder); err == nil {
			left = append(left, folder)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("there is\n%s", strings.Join(left, "\n"))
	}
	return nil
}
