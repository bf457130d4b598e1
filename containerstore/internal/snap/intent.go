package snap

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// Intent says what an operation is doing with a snapshot of a container, or was doing when
// it was cut short. It is the value of [label.Intent], as JSON.
type Intent struct {
	Kind IntentKind `json:"kind"`
	// Mark, if folders are exchanged, is the value of an attribute of the empty one, see
	// [Marked].
	Mark string `json:"mark,omitempty"`
	// State and Project are the labels of these names that the active snapshot is to get,
	// if any, and Last is its label of the highest number ever used. They are there if the
	// container is to stand on the snapshot.
	State   string `json:"state,omitempty"`
	Project string `json:"project,omitempty"`
	Last    int    `json:"last,omitempty"`
	// Made says that the snapshot to stand on was made for that: it goes if the container
	// does not get there.
	Made bool `json:"made,omitempty"`
}

// IntentKind is what an operation does with a snapshot.
type IntentKind string

const (
	// Made: the snapshot was made for a move that has not begun.
	Made IntentKind = "made"
	// Enter: the container is to stand on the snapshot.
	Enter IntentKind = "enter"
	// Seal: the folder of the snapshot is being exchanged for the container's, and the
	// container is to stand on the snapshot then.
	Seal IntentKind = "seal"
	// Leave: the folder of the snapshot is being exchanged for the container's, and the
	// container is to stand on another one.
	Leave IntentKind = "leave"
)

// Enters reports whether the container is to stand on the snapshot.
func (in Intent) Enters() bool { return in.Kind == Enter || in.Kind == Seal }

// Exchanges reports whether folders are being exchanged.
func (in Intent) Exchanges() bool { return in.Kind == Seal || in.Kind == Leave }

// IsUnmade reports whether the snapshot does not count yet: it may go again.
func (in Intent) IsUnmade() bool { return in.Exchanges() || in.Kind == Made || in.Made }

// Labels are those of a snapshot with the intent; none for the zero value.
func (in Intent) Labels() map[string]string {
	if in.Kind == "" {
		return nil
	}
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // a struct of strings, a number and a bool
	}
	return map[string]string{label.Intent: string(text)}
}

// IntentLabels are the keys of all labels that tell an intent. Versions before
// [label.Intent] had several.
var IntentLabels = []string{label.Intent, label.OldPending, label.OldFilling, label.OldNext, label.OldNextState, label.OldNextProject}

// IntentOf reads the intent from the labels of a snapshot. It has no Kind if there is none.
func IntentOf(labels map[string]string) (in Intent, err error) {
	text, ok := labels[label.Intent]
	if !ok || text == "" {
		return oldIntent(labels), nil
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return Intent{}, fmt.Errorf("label %s: %w: %w", label.Intent, err, errdefs.ErrDataLoss)
	}
	if !slices.Contains([]IntentKind{Made, Enter, Seal, Leave}, in.Kind) {
		return Intent{}, fmt.Errorf("label %s: kind %q is not known: %w", label.Intent, in.Kind, errdefs.ErrDataLoss)
	}
	return in, nil
}

// oldIntent reads what versions before [label.Intent] have written.
func oldIntent(labels map[string]string) Intent {
	in := Intent{Mark: labels[label.OldFilling]}
	next, pending := labels[label.OldNext] != "", labels[label.OldPending] != ""
	if next {
		in.State, in.Project = labels[label.OldNextState], labels[label.OldNextProject]
	}
	switch {
	case in.Mark != "" && next:
		in.Kind = Seal
	case in.Mark != "":
		in.Kind = Leave
	case next:
		in.Kind, in.Made = Enter, pending
	case pending:
		in.Kind = Made
	}
	return in
}

// SetIntent writes an intent down on a snapshot, in place of another one. It changes i, too.
func (s *Store) SetIntent(ctx context.Context, i snapshots.Info, in Intent) error {
	labels := map[string]string{}
	for _, key := range IntentLabels {
		if i.Labels[key] != "" {
			labels[key] = "" // is none
		}
	}
	maps.Copy(labels, in.Labels())
	if len(labels) == 0 {
		return nil
	}
	if err := s.Label(ctx, i.Name, labels); err != nil {
		return err
	}
	maps.Copy(i.Labels, labels)
	maps.DeleteFunc(i.Labels, func(_, value string) bool { return value == "" })
	return nil
}

// EndIntent takes the intent off a snapshot whose operation is complete, or taken back. It
// changes i, too.
func (s *Store) EndIntent(ctx context.Context, i snapshots.Info) error {
	return s.SetIntent(ctx, i, Intent{})
}
