package containerstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// Labels of a container's snapshots. Numbers are decimal.
const (
	// LabelPrevious, on a revision, has the number of the one that it was made
	// from; there is none on the first. Merged layers that end in no revision have
	// it too, if one was among them.
	LabelPrevious = label.Previous
	// LabelImage, on a revision, has the digest of its image.
	LabelImage = label.Image

	// LabelProject, on the active snapshot, has the number of the project that
	// what the container writes counts for. It goes along with every move.
	LabelProject = label.Project

	// LabelNoted, on the active snapshot, says that whoever mounts it notes so: it is
	// known whether anything was written to it. See [History.Reopen].
	LabelNoted = label.Noted

	// LabelRefImage, on a revision and on the snapshot that a container was made with,
	// has the digest of the manifest of the image, which it keeps in containerd.
	LabelRefImage = label.RefImage
)

const (
	initSuffix = "-init"

	revisionMark   = ".r"
	compactionMark = ".c"
)

// kernelLayers is how many lower folders an overlay can have: OVL_MAX_STACK in
// fs/overlayfs/params.h.
const kernelLayers = 500

// ErrNoPreviousRevision says that a container has no revision to go back to.
var ErrNoPreviousRevision = fmt.Errorf("no previous revision: %w", errdefs.ErrNotFound)

// Differ makes layers of trees and trees of layers.
type Differ = snap.Differ

// Tasks looks up containerd's task of a container, as tasks.TasksClient does.
type Tasks = snap.Tasks

// History is the revisions of one container. The fields up to Tasks are
// needed.
type History struct {
	Container   string // the id, which names the active snapshot
	Snapshotter string // its name, of which Snapshots is the service
	Snapshots   snapshots.Snapshotter
	Content     content.Store
	Leases      leases.Manager
	Tasks       Tasks // of containerd, see Idle
	// Lease is the id of the lease that holds the container's snapshots. If it
	// is empty, what is made is held by the lease in the context alone.
	Lease string
	// Differ is for snapshots whose mounts do not tell the container's changes.
	Differ Differ
	// MaxLayers is how many layers of its own a container may have, with the
	// active one, before they are merged; 0 is 64.
	MaxLayers int
	// MaxSealed is how many of these SealLayer leaves above the last revision, with
	// the active one, before it merges them; 0 is no limit of their own.
	MaxSealed int
	// Live remembers what live revisions have copied; nil has each copy all. One serves
	// all containers.
	Live *LiveSeals
}

// store is the snapshots of the container.
func (h *History) store() *snap.Store {
	return &snap.Store{
		Container: h.Container, Snapshotter: h.Snapshotter, Snapshots: h.Snapshots, Content: h.Content,
		Leases: h.Leases, Tasks: h.Tasks, Lease: h.Lease, Differ: h.Differ,
	}
}

func (h *History) revisionKey(n int) string {
	return h.Container + revisionMark + strconv.Itoa(n)
}

func (h *History) compactionKey(n int) string {
	return h.Container + compactionMark + strconv.Itoa(n)
}

// numbered takes the name of a snapshot apart that belongs to a container:
// mark, number, and what follows it, "" or one of the suffixes.
func numbered(container, name string) (mark string, n int, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(name, container)
	if !ok || len(rest) < 3 {
		return "", 0, "", false
	}
	mark, rest = rest[:2], rest[2:]
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest, suffix = rest[:end], rest[end:]
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 1 || mark != revisionMark && mark != compactionMark {
		return "", 0, "", false
	}
	return mark, n, suffix, suffix == "" || suffix == initSuffix || suffix == snap.KeySuffix
}

// tree is what there is of a container's snapshots.
type tree struct {
	id     string
	active *snapshots.Info // nil in the middle of a switch
	all    map[string]snapshots.Info
}

// load looks at all snapshots of the container, but for those at birth.
func (h *History) load(ctx context.Context) (*tree, error) {
	t := &tree{id: h.Container, all: map[string]snapshots.Info{}}
	err := h.Snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Name != h.Container {
			t.all[i.Name] = i
		}
		return nil
	}, fmt.Sprintf("labels.%q==%q", label.Container, h.Container))
	if err != nil {
		return nil, fmt.Errorf("list snapshots of container %s: %w", h.Container, err)
	}
	active, err := h.Snapshots.Stat(ctx, h.Container)
	switch {
	case err == nil:
		t.active = &active
	case !errdefs.IsNotFound(err):
		return nil, fmt.Errorf("look up snapshot %s: %w", h.Container, err)
	}
	return t, nil
}

// open looks at the container before a change. A switch that was cut in two is
// completed first.
func (h *History) open(ctx context.Context) (*tree, error) {
	t, err := h.load(ctx)
	if err != nil || t.settled() {
		return t, err
	}
	return t, h.recover(ctx, t)
}

// revision returns the snapshot of a revision. One that was merged with those
// below it may have only that.
func (t *tree) revision(n int) (snapshots.Info, bool) {
	for _, mark := range []string{revisionMark, compactionMark} {
		i, ok := t.all[t.id+mark+strconv.Itoa(n)]
		if n > 0 && ok && counts(i) && i.Labels[label.Record] != "" {
			return i, true
		}
	}
	return snapshots.Info{}, false
}

// counts reports whether a snapshot is there to stay.
func counts(i snapshots.Info) bool {
	in, err := snap.IntentOf(i.Labels)
	return err == nil && isCommitted(i) && !in.IsUnmade()
}

// numbers are those of the revisions, in no order.
func (t *tree) numbers() []int {
	seen := map[int]bool{}
	var numbers []int
	for name := range t.all {
		_, n, suffix, ok := numbered(t.id, name)
		if !ok || suffix != "" || seen[n] {
			continue
		}
		if _, ok := t.revision(n); ok {
			seen[n] = true
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// standsOn is the number of the revision below a snapshot, and below layers that
// are none, or that was merged with such layers; 0 if there is none.
func (t *tree) standsOn(i snapshots.Info) int {
	for {
		_, n, suffix, ok := numbered(t.id, i.Parent)
		if !ok || suffix != "" {
			return 0
		}
		below, ok := t.all[i.Parent]
		if !ok || below.Labels[label.Record] != "" {
			return n
		}
		if merged, err := strconv.Atoi(below.Labels[label.Previous]); err == nil {
			return merged
		}
		i = below
	}
}

// next is the number of the next revision.
func (t *tree) next() int {
	return t.last() + 1
}

// last is the highest number that was ever used.
func (t *tree) last() (last int) {
	if t.active != nil {
		last, _ = strconv.Atoi(t.active.Labels[label.Last]) // 0 if there is none
	}
	for name := range t.all {
		if _, n, _, ok := numbered(t.id, name); ok {
			last = max(last, n)
		}
	}
	return last
}

// inStack reports whether the active snapshot stands on another one.
func (t *tree) inStack(name string) bool {
	if t.active == nil {
		return false
	}
	for at := t.active.Parent; at != ""; at = t.all[at].Parent {
		if at == name {
			return true
		}
	}
	return false
}
