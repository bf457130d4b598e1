package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// Labels as they are on disk.
const (
	labelContainer = "io.baleen.container"
	labelRecord    = "io.baleen.revision"
	labelNext      = "io.baleen.next"
	labelImage     = "docker.com/revision.image"
	labelPrevious  = "docker.com/revision.previous"
	labelLast      = "io.baleen.last"
	labelState     = "io.baleen.state"
	labelOperation = "io.baleen.operation"
	labelOwner     = "io.baleen.owner"
	labelPauses    = "io.baleen.pauses"
)

// moved makes a container that stands on revision 1, and has revisions 2 and 3 too.
func (w *world) moved(t *testing.T) *moby.Container {
	t.Helper()
	c := w.container(t)
	for range 2 {
		_, err := w.service.RevisionStore().Snapshot(w.ctx, c, revisions.SnapshotOptions{})
		must(t, err)
	}
	m, err := w.service.RevisionStore().PrepareRollback(w.ctx, c, revisions.RollbackOptions{Revision: 1, Message: "before"})
	must(t, err)
	must(t, m.Run(w.ctx))
	return c
}

func (w *world) label(t *testing.T, snapshot, label, value string) {
	t.Helper()
	_, err := w.snapshots.Update(w.ctx, snapshots.Info{Name: snapshot, Labels: map[string]string{label: value}}, "labels."+label)
	must(t, err)
}

func (w *world) labelOf(t *testing.T, snapshot, label string) string {
	t.Helper()
	i, err := w.snapshots.Stat(w.ctx, snapshot)
	must(t, err)
	return i.Labels[label]
}

// operation makes the lease of an operation.
func (w *world) operation(t *testing.T, id string, labels map[string]string) {
	t.Helper()
	all := map[string]string{labelOperation: "commit"}
	for k, v := range labels {
		all[k] = v
	}
	_, err := w.leases.Create(w.ctx, leases.WithID(id), leases.WithLabels(all))
	must(t, err)
}

func (w *world) unlink(t *testing.T, c *moby.Container, snapshot string) {
	t.Helper()
	must(t, w.leases.DeleteResource(w.ctx, leases.Lease{ID: c.ID}, leases.Resource{ID: snapshot, Type: "snapshots/" + driver}))
}

// bind mounts a folder on a new one.
func bind(t *testing.T, target string) {
	t.Helper()
	must(t, os.MkdirAll(target, 0o700))
	must(t, unix.Mount(t.TempDir(), target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(target, unix.MNT_DETACH)) })
}

const otherID = "00000000000000000000000000000000000000000000000000000000000000aa"

// brokens are what can be wrong: what makes it so of a container that has moved, what is
// found, kind and object, and whether it can be repaired. {id} is the container.
var brokens = map[string]struct {
	spoil    func(t *testing.T, w *world, c *moby.Container)
	want     []string
	repaired bool
	content  bool
}{
	"nothing":   {spoil: func(*testing.T, *world, *moby.Container) {}, repaired: true},
	"no active": {func(t *testing.T, w *world, c *moby.Container) { must(t, w.snapshots.Remove(w.ctx, c.ID)) }, []string{"container-without-snapshot {id}"}, false, false},
	"no folder": {func(t *testing.T, w *world, c *moby.Container) {
		mounts, err := w.snapshots.Mounts(w.ctx, c.ID)
		must(t, err)
		folder := mounts[0].Source
		for _, o := range mounts[0].Options {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
				folder = upper
			}
		}
		must(t, os.RemoveAll(folder))
	}, []string{"folder-missing {id}"}, false, false},
	"no image": {func(t *testing.T, w *world, _ *moby.Container) {
		must(t, w.images.Delete(w.ctx, "image"))
		must(t, w.content.Delete(w.ctx, w.manifest.Digest))
	}, []string{"image-missing {id}.r1", "image-missing {id}.r2", "image-missing {id}.r3", "image-missing {manifest}"}, false, false},
	"no config": {func(t *testing.T, w *world, _ *moby.Container) {
		must(t, w.images.Delete(w.ctx, "image"))
		must(t, w.content.Delete(w.ctx, w.blobs["config"]))
	}, []string{"image-missing {id}.r1", "image-missing {id}.r2", "image-missing {id}.r3", "image-missing {manifest}"}, false, false},
	"no layer": {func(t *testing.T, w *world, _ *moby.Container) { must(t, w.content.Delete(w.ctx, w.blobs["layer"])) },
		[]string{"blob-missing image"}, false, false},
	"no record": {func(t *testing.T, w *world, c *moby.Container) {
		record, err := w.snapshots.Stat(w.ctx, c.ID+".r2")
		must(t, err)
		must(t, deleteBlob(w, record.Labels[labelRecord]))
	}, []string{"record-unreadable {id}.r2"}, false, false},
	"no state": {func(t *testing.T, w *world, c *moby.Container) {
		must(t, deleteBlob(w, w.labelOf(t, c.ID, labelState)))
	}, []string{"record-unreadable {id}", "record-unreadable {id}.r1"}, false, false}, // it is that of revision 1
	"record of another": {func(t *testing.T, w *world, c *moby.Container) {
		w.label(t, c.ID+".r2", labelRecord, w.labelOf(t, c.ID+".r3", labelRecord))
	}, []string{"labels-contradict {id}.r2", "labels-contradict {id}.r2"}, false, false},
	"previous later": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID+".r2", labelPrevious, "2") },
		[]string{"labels-contradict {id}.r2"}, false, false},
	"previous no number": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID+".r2", labelPrevious, "\x1b") },
		[]string{"labels-contradict {id}.r2"}, false, false},
	"another image": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID+".r2", labelImage, "sha256:0") },
		[]string{"labels-contradict {id}.r2"}, false, false},
	"image not kept": {func(t *testing.T, w *world, c *moby.Container) {
		w.label(t, c.ID+".r2", "containerd.io/gc.ref.content.image", "")
	}, []string{"labels-contradict {id}.r2"}, false, false},
	"last no number": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID, labelLast, "many") },
		[]string{"labels-contradict {id}"}, false, false},
	"project no number": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID, "io.baleen.project", "-1") },
		[]string{"labels-contradict {id}"}, false, false},
	"foreign name": {func(t *testing.T, w *world, c *moby.Container) {
		ctx := leases.WithLease(w.ctx, c.ID)
		_, err := w.snapshots.Prepare(ctx, "work", "")
		must(t, err)
		must(t, w.snapshots.Commit(ctx, "else", "work", snapshots.WithLabels(map[string]string{labelContainer: c.ID})))
	}, []string{"labels-contradict else"}, false, false},
	"foreign parent": {func(t *testing.T, w *world, c *moby.Container) {
		w.label(t, c.ID+".r1", labelContainer, "")
	}, []string{"labels-contradict {id}", "labels-contradict {id}.r2"}, false, false}, // 3 is what was written on 2
	"left by a snapshot": {func(t *testing.T, w *world, c *moby.Container) {
		_, err := w.snapshots.Prepare(leases.WithLease(w.ctx, c.ID), c.ID+".r9-key", c.ID+".r1", snapshots.WithLabels(map[string]string{labelContainer: c.ID}))
		must(t, err)
	}, []string{"move-unfinished {id}"}, true, false},
	"pending": {func(t *testing.T, w *world, c *moby.Container) { w.label(t, c.ID+".r3", "io.baleen.pending", "1") }, []string{"move-unfinished {id}"}, true, false},
	"half a switch": {func(t *testing.T, w *world, c *moby.Container) {
		w.label(t, c.ID+".r2", labelNext, c.ID)
		must(t, w.snapshots.Remove(w.ctx, c.ID))
	}, []string{"move-unfinished {id}"}, true, false},
	"no lease": {func(t *testing.T, w *world, c *moby.Container) {
		must(t, w.leases.Delete(w.ctx, leases.Lease{ID: c.ID}))
	}, []string{"snapshot-unheld {id}", "snapshot-unheld {id}.r2", "snapshot-unheld {id}.r3"}, true, false},
	"unheld": {func(t *testing.T, w *world, c *moby.Container) { w.unlink(t, c, c.ID+".r3") }, []string{"snapshot-unheld {id}.r3"}, true, false},
	"leak": {func(t *testing.T, w *world, _ *moby.Container) {
		w.operation(t, "leaked", map[string]string{labelOwner: owner})
	}, []string{"lease-leaked leaked"}, true, false},
	"leak of a commit that paused": {func(t *testing.T, w *world, _ *moby.Container) {
		w.operation(t, "leaked", map[string]string{labelOwner: owner, labelPauses: "1"})
	}, []string{"lease-leaked leaked"}, false, false},
	"operation of another daemon": {func(t *testing.T, w *world, _ *moby.Container) {
		w.operation(t, "theirs", map[string]string{labelOwner: "other"})
		w.operation(t, "a client's", nil)
	}, nil, true, false},
	"lease of nobody": {func(t *testing.T, w *world, _ *moby.Container) {
		_, err := w.leases.Create(w.ctx, leases.WithID(otherID))
		must(t, err)
		_, err = w.leases.Create(w.ctx, leases.WithID(otherID+"-mount-x"))
		must(t, err)
	}, []string{"lease-without-container " + otherID, "lease-without-container " + otherID + "-mount-x"}, false, false},
	"lease of a container that is being made": {func(t *testing.T, w *world, _ *moby.Container) {
		must(t, os.Mkdir(filepath.Join(w.folder, otherID), 0o700))
		_, err := w.leases.Create(w.ctx, leases.WithID(otherID))
		must(t, err)
	}, nil, true, false},
	"mounted though stopped": {func(t *testing.T, w *world, c *moby.Container) { bind(t, filepath.Join(w.roots, c.ID)) },
		[]string{"mount-left {roots}/{id}"}, false, false},
	"mounted though gone": {func(t *testing.T, w *world, _ *moby.Container) { bind(t, filepath.Join(w.roots, otherID)) },
		[]string{"mount-left {roots}/" + otherID}, false, false},
	"temporary mount": {func(t *testing.T, w *world, _ *moby.Container) { bind(t, filepath.Join(w.temp, "m")) },
		[]string{"mount-left {temp}/m"}, false, false},
	"temporary mount of a build": {func(t *testing.T, w *world, _ *moby.Container) {
		_, err := w.leases.Create(w.ctx, leases.WithID("build"), leases.WithLabels(map[string]string{"buildkit/lease.temporary": "2026-11-28T12:00:00Z"}))
		must(t, err)
		bind(t, filepath.Join(w.temp, "m"))
	}, nil, true, false},
	"damaged layer": {func(t *testing.T, w *world, _ *moby.Container) {
		blob := filepath.Join(filepath.Dir(w.folder), "content", "blobs", "sha256", w.blobs["layer"].Encoded())
		must(t, os.Chmod(blob, 0o600))
		must(t, os.WriteFile(blob, []byte("the_layer"), 0o600))
	}, []string{"blob-damaged {layer}"}, false, true},
}

func deleteBlob(w *world, name string) error {
	return w.content.Delete(w.ctx, digestOf(name))
}

// TestFindings: what is wrong is found, and nothing else; what can be repaired is
// repaired, and then nothing is wrong.
func TestFindings(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, like *world) {
		for name, b := range brokens {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, like.open)
				other := w.moved(t) // nothing is wrong with it
				c := w.moved(t)
				b.spoil(t, w, c)
				if strings.HasSuffix(name, "image") || strings.HasSuffix(name, "config") {
					must(t, w.remove(w.ctx, other)) // it has the same image
				}
				w.expect(t, c, b.want, api.CheckRequest{Content: b.content})
				w.repair(t, c, b.want, b.repaired)
			})
		}
	})
}

// expect checks, and compares the findings: kinds and objects.
func (w *world) expect(t *testing.T, c *moby.Container, want []string, req api.CheckRequest) api.CheckReport {
	t.Helper()
	r := w.check(t, req)
	names := strings.NewReplacer("{id}", c.ID, "{manifest}", w.manifest.Digest.String(), "{roots}", w.roots, "{temp}", w.temp, "{layer}", w.blobs["layer"].String())
	var expected, got []string
	for _, line := range want {
		expected = append(expected, names.Replace(line))
	}
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s", f.Kind, f.Object))
		if f.Text == "" || f.Help == "" {
			t.Errorf("finding %+v lacks words", f)
		}
	}
	slices.Sort(expected)
	slices.Sort(got)
	if !slices.Equal(got, expected) || r.Found != len(want) || len(r.Busy) > 0 {
		t.Fatalf("found\n%s\nwant\n%s\n%+v", strings.Join(got, "\n"), strings.Join(expected, "\n"), r)
	}
	return r
}

// repair has all repaired, and looks at what there is by itself.
func (w *world) repair(t *testing.T, c *moby.Container, found []string, possible bool) {
	t.Helper()
	r := w.check(t, api.CheckRequest{Repair: true})
	for _, f := range r.Findings {
		if f.Repaired != possible || f.Repairable != possible || f.Failure != "" {
			t.Errorf("repairable should be %v: %+v", possible, f)
		}
	}
	if !possible {
		return
	}
	if r.Left != 0 || r.Found != len(found) {
		t.Errorf("report %+v", r)
	}
	w.expect(t, c, nil, api.CheckRequest{})
	own, err := w.leases.List(w.ctx, `labels."io.baleen.owner"=="daemon"`)
	if err != nil || len(own) > 0 {
		t.Errorf("leases of operations: %v, %v", own, err)
	}
	if _, err := w.db.GarbageCollect(w.ctx); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{c.ID: true, c.ID + ".r1": true, c.ID + ".r2": true, c.ID + ".r9-key": false} {
		if _, err := w.snapshots.Stat(w.ctx, name); err == nil != there || err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("snapshot %s: %v", name, err)
		}
	}
}
