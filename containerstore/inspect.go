package containerstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// FaultKind says what is wrong with a snapshot of a container.
type FaultKind int

const (
	// FaultUnfinished: an operation was cut short. [History.Recover] completes it or
	// takes it back.
	FaultUnfinished FaultKind = iota
	// FaultContradiction: name, labels, parent and record do not agree.
	FaultContradiction
	// FaultRecord: the record of a revision, or of the present state, cannot be read.
	FaultRecord
	// FaultImage: a part of a revision's image is missing.
	FaultImage
	// FaultFolder: a folder of the container is missing on disk.
	FaultFolder
)

// Fault is one thing that is wrong.
type Fault struct {
	Kind     FaultKind
	Snapshot string // its name
	Text     string // what is wrong, for a person
}

// Inspection is what [History.Inspect] found.
type Inspection struct {
	// HasActive reports whether there is the active snapshot. Without it and without
	// a fault of the kind FaultUnfinished the container's files are gone.
	HasActive bool
	Revisions int
	// Kept are the snapshots that the container's lease must hold: the active one,
	// and the revisions that it does not stand on.
	Kept []string
	// Records are the blobs that describe the revisions and the present state.
	Records []digest.Digest
	Faults  []Fault
}

// Inspect looks for what is wrong with the snapshots of a container, and changes
// nothing. image is called for the image of each revision; an error of it is a fault.
// The caller sees to it that the container is not moved meanwhile; operations that
// are under way look like such that were cut short.
//
// Inspect does not find a sealed snapshot whose files were written afterwards: nothing
// on disk tells.
func (h *History) Inspect(ctx context.Context, image func(ocispec.Descriptor, ocispec.Platform) error) (Inspection, error) {
	t, err := h.load(ctx)
	if err != nil {
		return Inspection{}, err
	}
	in := inspection{h: h, t: t, image: image}
	for _, name := range slices.Sorted(maps.Keys(t.all)) {
		if err := in.sealed(ctx, t.all[name]); err != nil {
			return Inspection{}, err
		}
	}
	if t.active != nil {
		if err := in.active(ctx, *t.active); err != nil {
			return Inspection{}, err
		}
	}
	in.found.Revisions = len(t.numbers())
	return in.found, nil
}

type inspection struct {
	h     *History
	t     *tree
	image func(ocispec.Descriptor, ocispec.Platform) error
	found Inspection
}

func (in *inspection) fault(kind FaultKind, i snapshots.Info, format string, args ...any) {
	in.found.Faults = append(in.found.Faults, Fault{Kind: kind, Snapshot: i.Name, Text: fmt.Sprintf(format, args...)})
}

// sealed judges a snapshot that is not the active one.
func (in *inspection) sealed(ctx context.Context, i snapshots.Info) error {
	if found := in.t.cutShort(i); found != "" {
		in.fault(FaultUnfinished, i, "an operation was cut short: %s", found)
		return nil
	}
	_, n, suffix, ok := numbered(in.t.id, i.Name)
	if !ok || suffix == snap.KeySuffix {
		in.fault(FaultContradiction, i, "label %s says that it is of container %s, and its name does not", label.Container, in.t.id)
		return nil
	}
	in.parent(i)
	if suffix == initSuffix {
		if _, err := idsOf(i); err != nil {
			in.fault(FaultContradiction, i, "%v", err)
		}
		return nil
	}
	if text := i.Labels[label.Previous]; text != "" {
		if previous, err := strconv.Atoi(text); err != nil || previous < 1 || previous >= n {
			in.fault(FaultContradiction, i, "label %s is %q on revision %d", label.Previous, text, n)
		}
	}
	if _, _, err := retiredOf(i); err != nil {
		in.fault(FaultContradiction, i, "%v", err)
	}
	if i.Labels[label.Record] == "" {
		return nil // a layer that is no revision
	}
	if !in.t.inStack(i.Name) {
		in.found.Kept = append(in.found.Kept, i.Name)
	}
	return in.record(ctx, i, n)
}

// parent judges what a snapshot of the container stands on. That there is such a
// snapshot containerd sees to.
func (in *inspection) parent(i snapshots.Info) {
	own := i.Parent == in.t.id || strings.HasPrefix(i.Parent, in.t.id+".") || strings.HasPrefix(i.Parent, in.t.id+"-")
	if !own || i.Parent == in.t.id+initSuffix {
		return
	}
	below, ok := in.t.all[i.Parent]
	if _, _, suffix, numbered := numbered(in.t.id, i.Parent); !ok || !numbered || suffix == snap.KeySuffix || below.Kind != snapshots.KindCommitted {
		in.fault(FaultContradiction, i, "it stands on snapshot %s, which is no revision, layer or init layer of the container", i.Parent)
	}
}

// record compares a revision with its record.
func (in *inspection) record(ctx context.Context, i snapshots.Info, n int) error {
	if i.Labels[label.RefRecord] != i.Labels[label.Record] {
		in.fault(FaultContradiction, i, "label %s is %q, and label %s, which keeps the record, is %q", label.Record, i.Labels[label.Record], label.RefRecord, i.Labels[label.RefRecord])
	}
	in.found.Records = append(in.found.Records, digest.Digest(i.Labels[label.Record]))
	r, err := ReadRecord(ctx, in.h.Content, i)
	if err != nil {
		return in.unreadable(ctx, i, err)
	}
	if r.Number != n {
		in.fault(FaultContradiction, i, "its record is of revision %d", r.Number)
	}
	if text := i.Labels[label.Image]; text != r.ImageID.String() {
		in.fault(FaultContradiction, i, "label %s is %q, and its record is of image %q", label.Image, text, r.ImageID)
	}
	if text := i.Labels[label.RefImage]; text != r.keptImage().String() {
		in.fault(FaultContradiction, i, "label %s, which keeps the image, is %q, and its record is of manifest %q", label.RefImage, text, r.keptImage())
	}
	if r.Manifest == nil {
		return nil
	}
	if err := in.image(*r.Manifest, r.Platform); err != nil {
		if given := gaveUp(ctx, err); given != nil {
			return given
		}
		in.fault(FaultImage, i, "its image %s: %v", r.Manifest.Digest, err)
	}
	return nil
}

// unreadable is the fault of a record that cannot be read. That containerd cannot be
// asked is no fault, but an error.
func (in *inspection) unreadable(ctx context.Context, i snapshots.Info, err error) error {
	if given := gaveUp(ctx, err); given != nil {
		return given
	}
	in.fault(FaultRecord, i, "%v", err)
	return nil
}

// gaveUp returns an error that says nothing of what was looked at.
func gaveUp(ctx context.Context, err error) error {
	if ctx.Err() != nil || errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// active judges the active snapshot.
func (in *inspection) active(ctx context.Context, i snapshots.Info) error {
	in.found.HasActive = true
	in.found.Kept = append(in.found.Kept, i.Name)
	if i.Kind != snapshots.KindActive {
		in.fault(FaultContradiction, i, "it has the name of what the container writes, and is not active")
		return nil
	}
	in.parent(i)
	if text := i.Labels[label.Last]; text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 0 {
			in.fault(FaultContradiction, i, "label %s is %q", label.Last, text)
		}
	}
	if _, err := Project(i); err != nil {
		in.fault(FaultContradiction, i, "%v", err)
	}
	if _, err := in.h.stackOf(ctx, in.t, i); err != nil {
		if given := gaveUp(ctx, err); given != nil {
			return given
		}
		in.fault(FaultContradiction, i, "what it stands on: %v", err)
	}
	if state := i.Labels[label.State]; state != "" {
		if i.Labels[label.RefState] != state {
			in.fault(FaultContradiction, i, "label %s is %q, and label %s, which keeps the record, is %q", label.State, state, label.RefState, i.Labels[label.RefState])
		}
		in.found.Records = append(in.found.Records, digest.Digest(state))
		asRevision := i
		asRevision.Labels = map[string]string{label.Record: state}
		if _, err := ReadRecord(ctx, in.h.Content, asRevision); err != nil {
			if err := in.unreadable(ctx, i, err); err != nil {
				return err
			}
		}
	}
	return in.folders(ctx, i)
}

// folders looks for the folders of the container on disk.
func (in *inspection) folders(ctx context.Context, active snapshots.Info) error {
	mounts, err := in.h.Snapshots.Mounts(ctx, active.Name)
	if err != nil {
		return fmt.Errorf("look up mounts of %s: %w", active.Name, err)
	}
	lost, err := lostFolders(mounts, active.Parent != "")
	if err != nil || len(lost) == 0 {
		return err
	}
	// What is in use is not lost, but not to be seen from this mount namespace.
	if err := in.h.Idle(ctx); err != nil {
		if errdefs.IsFailedPrecondition(err) {
			return nil
		}
		return err
	}
	in.fault(FaultFolder, active, "missing on disk: %s", strings.Join(lost, ", "))
	return nil
}

// lostFolders are those of an active snapshot that are not there, the folder that an
// overlay works in included.
func lostFolders(mounts []mount.Mount, hasParent bool) (lost []string, _ error) {
	o, err := changes.ParseOverlay(mounts, hasParent)
	if errors.Is(err, diff.ErrUnsupported) {
		for _, m := range mounts {
			if m.Type == "bind" || m.Type == "rbind" {
				o.Lowers = append(o.Lowers, m.Source)
			}
		}
	} else if err != nil {
		return nil, err
	}
	folders := slices.Concat(o.Uppers, o.Lowers)
	for _, m := range mounts {
		if work := optionOf(m, "workdir="); work != "" {
			folders = append(folders, work)
		}
	}
	return absent(folders)
}
