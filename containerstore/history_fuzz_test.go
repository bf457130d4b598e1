package containerstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/internal/blobtest"
)

// listed are the records of a snapshotter that is only read.
type listed struct {
	snapshots.Snapshotter // none: what is not below is not called
	all                   []snapshots.Info
}

// Walk tells all that have the label of the container, which is the only filter.
func (l *listed) Walk(ctx context.Context, f snapshots.WalkFunc, _ ...string) error {
	for _, i := range l.all {
		if i.Labels["io.baleen.container"] != container {
			continue
		}
		if err := f(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (l *listed) Stat(_ context.Context, key string) (snapshots.Info, error) {
	if at := slices.IndexFunc(l.all, func(i snapshots.Info) bool { return i.Name == key }); at >= 0 {
		return l.all[at], nil
	}
	return snapshots.Info{}, fmt.Errorf("snapshot %s: %w", key, errdefs.ErrNotFound)
}

func (l *listed) Usage(context.Context, string) (snapshots.Usage, error) {
	return snapshots.Usage{Size: 1}, nil
}

// Update keeps nothing: what is measured is measured again.
func (l *listed) Update(_ context.Context, i snapshots.Info, _ ...string) (snapshots.Info, error) {
	return i, nil
}

const container = "0123456789ab"

// options are what the fuzzer's bytes choose from.
var (
	nameOptions = []string{
		".r1", ".r2", ".r3", ".c1", ".c2", ".c3", ".r10", ".r01", ".r0", ".r-1", ".r", ".rx", ".r1-init", ".r2-key", ".c3-key", "-init", ".r1x", ".r1.r2", ".d1",
		".r9223372036854775807", ".r9223372036854775808", ".r99999999999999999999", ".r1\n", ".R1", ".r+1", ".r\u0661",
	}
	labelOptions = []string{
		"io.baleen.container", "io.baleen.revision", "io.baleen.pending", "io.baleen.filling", "docker.com/revision.previous", "docker.com/revision.image", "io.baleen.size",
		"io.baleen.state", "io.baleen.last", "io.baleen.next", "io.baleen.next.state", "io.baleen.intent", "io.baleen.project", "io.baleen.ids", "io.baleen.host-ids",
	}
	textOptions = []string{"", "0", "1", "2", "3", "-1", "x", "9223372036854775807", "9223372036854775808", "1e3", " 1", "mounted 0:1:1 0:1:1", container, "sha256:00", `{"kind":"made"}`, `{"kind":"enter","last":7}`, `{"kind":"enter","made":true}`, `{"kind":"leave"}`, `{"kind":"x"}`}
)

// recordOptions are texts of records, the first of which are whole.
var recordOptions = []string{
	`{"number":1,"created":"2026-11-28T00:00:00Z","kind":"snapshot","platform":{"architecture":"amd64","os":"linux"}}`,
	`{"number":2,"kind":"upgrade","image":"i","imageID":"sha256:00","manifest":{"digest":"","size":-1}}`,
	`{"number":3,"config":{"a":[]}}`, `{}`, `{"number":-5,"message":"\u001b[2J"}`, `{"number":9223372036854775807}`,
	`{"number":"1"}`, `{"number":9223372036854775808}`, `[]`, `{`, ``, `null`,
}

// choices are the fuzzer's bytes, of which each decides one thing.
type choices []byte

func (c *choices) from(options []string) string {
	if len(*c) == 0 {
		return options[0]
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return options[int(b)%len(options)]
}

// snapshotsOf makes the records of snapshots, of which each has one before it, or
// none, as its parent, and the records of revisions.
func (c *choices) snapshotsOf() (*listed, *blobtest.Store) {
	l, store := &listed{}, blobtest.New()
	values := slices.Clone(textOptions)
	for _, r := range recordOptions {
		values = append(values, store.Add(r).String())
	}
	add := func(i snapshots.Info) {
		for len(*c) > 0 && len(i.Labels) < 8 {
			label := c.from(append([]string{"."}, labelOptions...))
			if label == "." {
				break
			}
			i.Labels[label] = c.from(values)
		}
		l.all = append(l.all, i)
	}
	parents := []string{"", "sha256:image"}
	for len(*c) > 0 && len(l.all) < 20 {
		name := container + c.from(nameOptions)
		if slices.Contains(parents, name) {
			continue
		}
		i := snapshots.Info{Kind: snapshots.KindCommitted, Name: name, Parent: c.from(parents), Labels: map[string]string{
			"io.baleen.container": container, "io.baleen.revision": values[len(textOptions)+len(parents)%3],
		}}
		if c.from([]string{"", "", "", "active"}) != "" {
			i.Kind = snapshots.KindActive
		}
		add(i)
		parents = append(parents, name)
	}
	if c.from([]string{"active", ""}) != "" {
		add(snapshots.Info{Kind: snapshots.KindActive, Name: container, Parent: c.from(parents), Labels: map[string]string{}})
	}
	return l, store
}

// named is what a revision's snapshot, or what several were merged into, is called.
var named = regexp.MustCompile(`^` + container + `\.([rc])([1-9][0-9]*)$`)

// revisionsOf are the revisions that a list of snapshots has, number to record:
// those of a snapshot are told before those of merged ones.
func revisionsOf(l *listed) map[int]string {
	all := map[int]string{}
	for _, kind := range []string{"c", "r"} {
		for _, i := range l.all {
			m := named.FindStringSubmatch(i.Name)
			if m == nil || m[1] != kind || i.Kind != snapshots.KindCommitted || i.Labels["io.baleen.container"] != container {
				continue
			}
			n, err := strconv.Atoi(m[2])
			if err == nil && stays(i.Labels) && i.Labels["io.baleen.revision"] != "" {
				all[n] = i.Labels["io.baleen.revision"]
			}
		}
	}
	return all
}

// stays reports whether labels say that a snapshot is neither made for a move that is not
// done, nor has it an exchange of folders before it.
func stays(labels map[string]string) bool {
	if intent := labels["io.baleen.intent"]; intent != "" {
		return intent == `{"kind":"enter","last":7}`
	}
	return labels["io.baleen.pending"] == "" && labels["io.baleen.filling"] == ""
}

// FuzzHistory: whatever the labels, names and records of a container's snapshots
// say, its revisions are those of the snapshots that are one, or it is said which
// record cannot be read.
func FuzzHistory(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x01\x02\x00\x00\x02\x03\x00\x00"))
	f.Add([]byte("\x00\x01\x00\x05\x03\x00\x03\x02\x00\x02\x10\x00\x01\x02\x00\x00\x00\x02\x09\x0e\x00"))
	for i := range byte(24) {
		seed := make([]byte, 90)
		for j := range seed {
			seed[j] = byte(j)*(i*7+3) ^ byte(j>>2)*i
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := choices(data)
		l, store := c.snapshotsOf()
		h := &containerstore.History{Container: container, Snapshotter: "overlayfs", Snapshots: l, Content: content.Store(store)}
		want := revisionsOf(l)
		list, err := h.List(t.Context())
		if err != nil {
			blobtest.CheckClass(t, err)
		} else if len(list) != len(want) {
			t.Errorf("there are %d revisions, want %v of %+v", len(list), slices.Collect(maps.Keys(want)), l.all)
		}
		current := 0
		for _, r := range list {
			if r.Current {
				current++
			}
		}
		if current > 1 && !doubled(list) {
			t.Errorf("the container stands on %d revisions of %+v", current, list)
		}
		for _, n := range []int{-1, 0, 1, 2, 3, 10, 1<<63 - 1} {
			record, ok := want[n]
			r, err := h.Revision(t.Context(), n)
			switch {
			case err != nil && !ok && errdefs.IsNotFound(err):
			case err != nil:
				blobtest.CheckClass(t, err)
				if _, has := store.All[digest.Digest(record)]; !ok || has && errdefs.IsNotFound(err) {
					t.Errorf("revision %d is there: %v, and the error is %v", n, ok, err)
				}
			case !ok || r.Snapshot != fmt.Sprintf("%s.r%d", container, n) && r.Snapshot != fmt.Sprintf("%s.c%d", container, n):
				t.Errorf("revision %d is %+v, want record %s", n, r, record)
			}
		}
		if _, err := h.State(t.Context()); err != nil {
			blobtest.CheckClass(t, err)
		}
	})
}

// doubled reports whether two records say that they are of one revision.
func doubled(list []containerstore.Revision) bool {
	met := map[int]bool{}
	for _, r := range list {
		if met[r.Number] {
			return true
		}
		met[r.Number] = true
	}
	return false
}

// FuzzRecord: a revision says what its record says, or it is said that the record
// cannot be read.
func FuzzRecord(f *testing.F) {
	for _, text := range recordOptions {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 16<<10 {
			return
		}
		store := blobtest.New()
		l := &listed{all: []snapshots.Info{{Kind: snapshots.KindCommitted, Name: container + ".r1", Labels: map[string]string{
			"io.baleen.container": container, "io.baleen.revision": store.Add(text).String(),
		}}}}
		h := &containerstore.History{Container: container, Snapshots: l, Content: content.Store(store)}
		r, err := h.Revision(t.Context(), 1)
		if err != nil {
			blobtest.CheckClass(t, err)
			return
		}
		var want struct {
			Number               int
			Message, Kind, Image string
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil || r.Number != want.Number || r.Message != want.Message || r.Kind != want.Kind || r.Image != want.Image {
			t.Errorf("%s reads as %+v, want %+v, %v", text, r.Record, want, err)
		}
		if r.Snapshot != container+".r1" || r.Current {
			t.Errorf("the revision is %+v", r)
		}
	})
}
