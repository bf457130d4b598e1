package containerstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// retired is what is kept of a revision that was pruned and whose layer stays: by it the
// container knows what it changed since an upgrade, and which revision was before that.
type retired struct {
	Kind     string `json:"kind,omitempty"`
	Previous int    `json:"previous,omitempty"`
	Record   string `json:"record"` // the digest of its record, which may be gone
}

// retiredLabels are those that make a layer a revision.
var retiredLabels = []string{label.Record, label.RefRecord, label.RefImage, label.Image, label.Previous, label.UnfitRoot}

// retire makes the layers of a revision, if any are left, layers that are no revision.
func (h *History) retire(ctx context.Context, t *tree, n int) error {
	for _, name := range []string{h.revisionKey(n), h.compactionKey(n)} {
		i, ok := t.all[name]
		if !ok {
			continue
		}
		kept := retired{Record: i.Labels[label.Record]}
		kept.Previous, _ = strconv.Atoi(i.Labels[label.Previous]) // 0 if there is none
		r, err := ReadRecord(ctx, h.Content, i)
		if err != nil { // it has to be possible to prune that, too
			log.G(ctx).WithError(err).WithField("snapshot", name).Warn("the kind of a revision that is pruned is not known any more")
		}
		kept.Kind = r.Kind
		text, err := json.Marshal(kept)
		if err != nil {
			return fmt.Errorf("encode what is kept of revision %d: %w", n, err)
		}
		labels := map[string]string{label.Retired: string(text)}
		for _, key := range retiredLabels {
			labels[key] = "" // is none
		}
		if err := h.store().Label(ctx, name, labels); err != nil {
			return err
		}
	}
	return nil
}

// retiredOf reads what was kept of the revision that a layer was; ok is false if it was none.
func retiredOf(i snapshots.Info) (r retired, ok bool, _ error) {
	text := i.Labels[label.Retired]
	if text == "" {
		return r, false, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, false, fmt.Errorf("snapshot %s: label %s: %w: %w", i.Name, label.Retired, err, errdefs.ErrDataLoss)
	}
	return r, true, nil
}

// countsFrom reports whether what the container changed may be counted from a pruned
// revision on, see [History.Since]: it was merged, or it is what the container moved to.
func (t *tree) countsFrom(i snapshots.Info) bool {
	was, ok, err := retiredOf(i)
	return err != nil || ok && (was.Kind == "upgrade" || was.Kind == "carry" || was.Record == t.active.Labels[label.State])
}

// past returns kind and predecessor of a revision that the container has, or had: its layer
// is there. ok is false if nothing is known of it.
func (h *History) past(ctx context.Context, t *tree, n int) (_ Record, previous int, ok bool, _ error) {
	if i, is := t.revision(n); is {
		r, err := ReadRecord(ctx, h.Content, i)
		previous, _ := strconv.Atoi(i.Labels[label.Previous]) // 0 if there is none
		return r, previous, err == nil, err
	}
	was, ok, err := retiredOf(t.all[t.retired(n)])
	return Record{Number: n, Kind: was.Kind}, was.Previous, ok, err
}

// isKnown reports whether anything is known of a revision, as past returns it.
func (t *tree) isKnown(n int) bool {
	_, isRevision := t.revision(n)
	return isRevision || t.retired(n) != ""
}

// below returns the number of the next revision that is known below a known one; 0 if there
// is none. Between them were others whose layers have gone, or were merged.
func (t *tree) below(n int) int {
	i, ok := t.revision(n)
	if !ok {
		i = t.all[t.retired(n)]
	}
	for {
		_, n, suffix, ok := numbered(t.id, i.Parent)
		if !ok || suffix != "" {
			return 0
		}
		if t.isKnown(n) {
			return n
		}
		if i, ok = t.all[i.Parent]; !ok {
			return 0
		}
	}
}

// retired returns the name of the layer of a revision that was pruned; "" if there is none.
func (t *tree) retired(n int) string {
	for _, mark := range []string{revisionMark, compactionMark} {
		name := t.id + mark + strconv.Itoa(n)
		if t.all[name].Labels[label.Retired] != "" {
			return name
		}
	}
	return ""
}

// Before returns the number of the revision that was before the last one, of those that led
// to what the container is now, that merged accepts; 0 if there is none. Of a revision that
// was pruned, merged is told number and kind.
func (t *Tree) Before(ctx context.Context, merged func(Record) bool) (int, error) {
	at := t.t.standsOn(*t.t.active)
	for at > 0 {
		r, previous, ok, err := t.h.past(ctx, t.t, at)
		if err != nil || !ok {
			return 0, err
		}
		if merged(r) {
			return previous, nil
		}
		if previous > 0 && !t.t.isKnown(previous) {
			previous = t.t.below(at)
		}
		if previous >= at {
			return 0, fmt.Errorf("revision %d says that it was made from revision %d: %w", at, previous, errdefs.ErrDataLoss)
		}
		at = previous
	}
	return 0, nil
}
