package moves_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/backend"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/revisions"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// change is what a container of app:1 does to its files.
const change = `mkdir data && echo mine > data/a && echo mine > app/conf && rm app/deleted`

// TestMoves upgrades containers, and takes them back and forth.
func TestMoves(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	e.BuildApps(t)
	for name, test := range map[string]func(*testing.T, *mover){
		"upgrade and back": upgradeAndBack, "plan": planUpgrade, "refused": refusedMoves, "carry": carryChanges,
		"the daemon's verbs": verbsOnRevisions, "commit": commitOnRevisions, "running": snapshotRunning,
		"read meanwhile": readMeanwhile, "reserved names": reservedNames, "root": rootDirectory,
		"record of a run": runsByItsRecord, "mounted": mountedUncounted, "leftovers": leftovers,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.State(t)
			id := e.Must(t, "create", "-e", "MINE=1", "app:1")
			defer func() {
				e.Remove(t, id)
				e.Settled(t, before)
			}()
			m := newMover(t, e, e.Client, id)
			m.do(t, change)
			test(t, m)
		})
	}
}

func upgradeAndBack(t *testing.T, m *mover) {
	old := *m.ctr.Config
	r := m.snapshot(t)
	if r.Number != 1 || !r.Current || r.Kind != api.KindSnapshot || r.Message != "a message" || r.Image != "app:1" || r.Size == 0 {
		t.Errorf("the snapshot is %+v", r)
	}
	m.do(t, "echo more > data/b")
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	upgraded := []string{"app/conf=mine", "app/only2=2", "app/version=v2", "data/a=mine", "data/b=more"}
	m.has(t, upgraded...)
	if got := m.do(t, "stat -c %h data/a data/b app/version"); got != "1\n1\n1" {
		t.Errorf("what the container wrote has other numbers of names than it gave: %q", got)
	}
	if got := fmt.Sprint(m.ctr.Config.Image, m.ctr.Config.Env, m.ctr.Config.Cmd); got != "app:2[MINE=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin VERSION=2 KEEP=1] [sh -c cat /app/version; sleep 200]" &&
		got != "app:2[MINE=1 VERSION=2 KEEP=1] [sh -c cat /app/version; sleep 200]" {
		t.Errorf("the container is %s", got)
	}
	if move.Before.Number != 2 || move.Before.Kind != api.KindBefore || move.To.Number != 3 || move.To.Kind != api.KindUpgrade || move.To.Previous != 2 || !move.To.Current {
		t.Errorf("it went from %+v to %+v", move.Before, move.To)
	}
	if img := m.e.Image(t, string(m.ctr.ImageID)); !strings.Contains(img.Record, "app:2") {
		t.Errorf("its image is %+v", img)
	}

	m.do(t, "echo after > data/c")
	back := m.rollback(t, revisions.RollbackOptions{})
	if back.To.Number != 2 || back.Before.Number != 4 {
		t.Errorf("it went back from %d to %d", back.Before.Number, back.To.Number)
	}
	first := []string{"app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine", "data/b=more"}
	m.has(t, first...)
	if a, b := fmt.Sprintf("%+v", *m.ctr.Config), fmt.Sprintf("%+v", old); a != b {
		t.Errorf("the configuration is %s, was %s", a, b)
	}
	for range 2 {
		m.rollback(t, revisions.RollbackOptions{Revision: 4})
		m.has(t, append(upgraded, "data/c=after")...)
		m.do(t, "rm -r data")
	}
	m.rollback(t, revisions.RollbackOptions{Revision: 1})
	m.has(t, first[:4]...)

	pruned, err := m.service.RevisionStore().PruneRevisions(t.Context(), m.ctr, api.PruneRequest{})
	if err != nil || fmt.Sprint(pruned.Removed) != "[2 3 4 5 6]" {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	m.has(t, first[:4]...)
}

func planUpgrade(t *testing.T, m *mover) {
	before := m.e.State(t)
	o := upgradeOptions()
	o.DryRun = true
	m.ctr.Running = true // does not matter to a plan
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, o)
	if err != nil {
		t.Fatal(err)
	}
	p := move.Plan
	if p.From.Name != "app:1" || p.To.Name != "app:2" || p.ConflictCount != 1 || len(p.Conflicts) != 1 {
		t.Errorf("the plan is %+v", p)
	} else if c := p.Conflicts[0]; !reflect.DeepEqual(c, api.Conflict{Path: "/app/conf", Container: "modified", Image: "modified", Winner: "container"}) {
		t.Errorf("the conflict is %+v", c)
	}
	var told []string
	for _, c := range p.Config {
		told = append(told, c.Field)
	}
	if fmt.Sprint(told) != "[Cmd Env VERSION]" {
		t.Errorf("the configuration changes in %v", told)
	}
	if o.Policies, err = revisions.ParsePolicies("fail", []api.PathPolicy{{Pattern: "/data/**", Policy: "image"}}, nil); err != nil {
		t.Fatal(err)
	}
	if move, err = m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, o); err != nil || move.Plan.ConflictCount != 1 || move.Plan.Conflicts[0].Winner != "" {
		t.Errorf("a plan to fail is %+v, %v", move, err)
	}
	m.ctr.Running = false
	o.DryRun = false
	move, err = m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, o)
	var conflicts *merge.ConflictError
	if !errors.As(err, &conflicts) || !errdefs.IsConflict(err) || move == nil || move.Plan.ConflictCount != 1 {
		t.Errorf("an upgrade to fail gave %+v, %v", move, err)
	}
	m.e.Settled(t, before)

	if o.Policies, err = revisions.ParsePolicies("fail", []api.PathPolicy{{Pattern: "/app/co*", Policy: "image"}}, nil); err != nil {
		t.Fatal(err)
	}
	move, err = m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, o)
	m.run(t, move, err)
	m.has(t, "app/conf=conf2", "app/only2=2", "app/version=v2", "data/a=mine")
}

func refusedMoves(t *testing.T, m *mover) {
	ctx := t.Context()
	before := m.e.State(t)
	must := func(what string, err error, class func(error) bool, text string) {
		t.Helper()
		if !class(err) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), m.ctr.ID[:12]) {
			t.Errorf("%s gave %v", what, err)
		}
	}
	_, err := m.service.RevisionStore().PrepareRollback(ctx, m.ctr, revisions.RollbackOptions{})
	must("rolling back to nothing", err, errdefs.IsNotFound, "no previous revision")
	_, err = m.service.RevisionStore().PrepareRollback(ctx, m.ctr, revisions.RollbackOptions{Revision: 9})
	must("an unknown revision", err, errdefs.IsNotFound, "revision 9")
	_, err = m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, revisions.UpgradeOptions{Image: "no:such"})
	must("an unknown image", err, errdefs.IsNotFound, "no:such")
	m.mounted.Store(true)
	_, err = m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, upgradeOptions())
	must("upgrading a mounted container, as a running one is", err, errdefs.IsConflict, "it is running")
	m.mounted.Store(false)

	move, err := m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, upgradeOptions())
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, upgradeOptions())
	must("two upgrades at once", err, errdefs.IsConflict, "under way")
	_, err = m.service.RevisionStore().Snapshot(ctx, m.ctr, revisions.SnapshotOptions{})
	must("a snapshot during an upgrade", err, errdefs.IsConflict, "under way")
	_, err = m.service.RevisionStore().PruneRevisions(ctx, m.ctr, api.PruneRequest{})
	must("pruning during an upgrade", err, errdefs.IsConflict, "under way")
	if list, err := m.service.RevisionStore().Revisions(ctx, m.ctr); err != nil || len(list) > 0 {
		t.Errorf("what is only prepared is listed: %v, %v", list, err)
	}
	if err := move.Abandon(ctx); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(move.Abandon(ctx), move.Run(ctx)); err != nil {
		t.Errorf("ending a move again: %v", err)
	}
	m.e.Settled(t, before)

	if move, err = m.service.RevisionStore().PrepareUpgrade(ctx, m.ctr, upgradeOptions()); err != nil {
		t.Fatal(err)
	}
	m.mounted.Store(true)
	must("a container mounted after all", move.Run(ctx), errdefs.IsConflict, "in use")
	m.mounted.Store(false)
	m.e.Settled(t, before)
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine")
}

func carryChanges(t *testing.T, m *mover) {
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	m.do(t, "echo after > data/b; echo later > app/conf; rm app/only2")
	m.snapshot(t) // so the changes are spread over two layers
	m.do(t, "echo after > data/c; rm data/a")
	plan, err := m.service.RevisionStore().PrepareRollback(t.Context(), m.ctr, revisions.RollbackOptions{Carry: true, DryRun: true})
	if err != nil || plan.Plan.ConflictCount != 0 || plan.To.Number != 1 {
		t.Errorf("the plan is %+v, %v", plan, err)
	}
	carried := m.rollback(t, revisions.RollbackOptions{Carry: true})
	m.has(t, "app/conf=later", "app/only1=1", "app/version=v1", "data/b=after", "data/c=after")
	if carried.To.Kind != api.KindCarry || carried.To.Previous != 1 || m.ctr.Config.Image != "app:1" {
		t.Errorf("it went to %+v, of image %s", carried.To, m.ctr.Config.Image)
	}
	m.rollback(t, revisions.RollbackOptions{Revision: 1})
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine")
	m.do(t, "echo forth > data/d")
	m.rollback(t, revisions.RollbackOptions{Revision: 2, Carry: true})
	m.has(t, "app/conf=mine", "app/only2=2", "app/version=v2", "data/a=mine", "data/d=forth")
}

// verbsOnRevisions asks the daemon about a container that stands on revisions.
func verbsOnRevisions(t *testing.T, m *mover) {
	e, id := m.e, m.ctr.ID
	size := func() int {
		n, err := strconv.Atoi(e.Must(t, "inspect", "-s", "-f", "{{.SizeRw}}", id))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	e.Must(t, "start", id) // some files are the runtime's: they are mounted over
	e.Must(t, "kill", id)
	want, wantSize := e.Must(t, "diff", id), size()
	for i := range 3 {
		m.snapshot(t)
		if got := e.Must(t, "diff", id); got != want {
			t.Errorf("after %d snapshots docker diff prints\n%s\nwant\n%s", i+1, got, want)
		}
		// Each layer has a root directory of its own.
		if got := size(); got < wantSize || got > wantSize+(i+1)*8<<10 {
			t.Errorf("after %d snapshots the container has %d bytes of its own, want about %d", i+1, got, wantSize)
		}
	}
	m.do(t, "rm data/a && echo more > data/b && echo again > app/conf")
	lines := strings.Split(want, "\n")
	lines[slices.Index(lines, "A /data/a")] = "A /data/b"
	if got := strings.Split(e.Must(t, "diff", id), "\n"); !slices.Equal(got, lines) {
		t.Errorf("docker diff prints %q, want %q", got, lines)
	}
	if out := e.Must(t, "cp", id+":/data/b", "-"); !strings.Contains(out, "more") {
		t.Errorf("docker cp gave %q", out)
	}
	if out, err := harness.Output(e.Docker(t.Context(), "export", id)); err != nil || !strings.Contains(out, "again") {
		t.Errorf("docker export gave no changed file: %v", err)
	}
	e.Must(t, "start", id)
	if got := e.Must(t, "exec", id, "cat", "/data/b", "/app/conf"); got != "more\nagain" {
		t.Errorf("the container reads %q", got)
	}
	e.Must(t, "kill", id)
	image := e.Must(t, "commit", id)
	defer e.Must(t, "rmi", image)
	if got, want := len(e.Image(t, image).Manifest.Layers), len(e.Image(t, string(m.ctr.ImageID)).Manifest.Layers)+1; got != want {
		t.Errorf("the image has %d layers, want %d", got, want)
	}
	if got := e.Must(t, "run", "--rm", image, "cat", "/data/b", "/app/conf"); got != "more\nagain" {
		t.Errorf("the image has %q", got)
	}
}

// commitOnRevisions commits a container that was upgraded, and compares.
func commitOnRevisions(t *testing.T, m *mover) {
	move, err := m.service.RevisionStore().PrepareUpgrade(t.Context(), m.ctr, upgradeOptions())
	m.run(t, move, err)
	m.do(t, "echo b > data/b; ln data/b data/linked")
	m.snapshot(t)
	m.do(t, "rm data/a; mkdir data/sub; echo c > data/sub/c")
	changes, err := m.service.Changes(m.e.Context(t), m.ctr)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, c := range changes {
		told = append(told, c.String())
	}
	if want := []string{"C /app", "C /app/conf", "D /app/deleted", "A /data", "A /data/b", "A /data/linked", "A /data/sub", "A /data/sub/c"}; !slices.Equal(told, want) {
		t.Errorf("the changes are %q, want %q", told, want)
	}
	id, err := m.service.CommitImage(m.e.Context(t), backend.CommitConfig{
		ContainerID: m.ctr.ID, Config: m.ctr.Config, ContainerConfig: m.ctr.Config, ParentImageID: string(m.ctr.ImageID),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.e.Must(t, "rmi", string(id))
	base, img := m.e.Image(t, string(m.ctr.ImageID)), m.e.Image(t, string(id))
	if len(img.Manifest.Layers) != len(base.Manifest.Layers)+1 {
		t.Errorf("the image has layers %v, its base %v", img.Manifest.Layers, base.Manifest.Layers)
	}
	sn := m.e.Client.SnapshotService(harness.Snapshotter)
	now, err := sn.Mounts(m.e.Context(t), m.ctr.ID)
	if err != nil {
		t.Fatal(err)
	}
	m.e.WithView(t, harness.ChainOf(img), func(view []mount.Mount) {
		differences(t, now, view)
		if out := sh(t, m.e, view, "ls -A"); strings.Contains(out, ".dockerenv") {
			t.Error("the image holds files of the init layer")
		}
	})
}

// differences compares what a container sees with an image.
func differences(t *testing.T, now, image []mount.Mount) {
	t.Helper()
	err := mount.WithReadonlyTempMount(t.Context(), now, func(a string) error {
		return mount.WithReadonlyTempMount(t.Context(), image, func(b string) error {
			runtime := []string{"/.dockerenv", "/dev", "/etc", "/proc", "/sys"}
			err := compare.Trees(t.Context(), a, b, compare.Options{IgnoreRoot: true, Ignore: func(path string) bool { return slices.Contains(runtime, path) }})
			if err != nil {
				t.Error(err)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// snapshotRunning keeps states of a container that runs.
func snapshotRunning(t *testing.T, m *mover) {
	m.ctr.Running = true
	m.mounted.Store(true)
	var calls []string
	pause := func() func() {
		calls = append(calls, "pause")
		return func() { calls = append(calls, "thaw") }
	}
	for i := range 2 {
		m.do(t, fmt.Sprintf("echo %d > data/n", i))
		r, err := m.service.RevisionStore().Snapshot(t.Context(), m.ctr, revisions.SnapshotOptions{Pause: pause})
		if err != nil || r.Number != i+1 || r.Current || r.Previous != 0 {
			t.Fatalf("a snapshot of a running container is %+v, %v", r, err)
		}
	}
	if fmt.Sprint(calls) != "[pause thaw pause thaw]" {
		t.Errorf("the container was %v", calls)
	}
	m.ctr.Running = false
	m.mounted.Store(false)
	m.do(t, "rm -r data")
	if back := m.rollback(t, revisions.RollbackOptions{}); back.To.Number != 2 {
		t.Errorf("it went back to %+v, not to the last snapshot", back.To)
	}
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine", "data/n=1")
	m.rollback(t, revisions.RollbackOptions{Revision: 1})
	m.has(t, "app/conf=mine", "app/only1=1", "app/version=v1", "data/a=mine", "data/n=0")
}
