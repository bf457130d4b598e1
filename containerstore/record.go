package containerstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore/blob"
	"github.com/baleen-project/baleen/containerstore/internal/label"
)

// MediaTypeRecord is the type of the blob that a record is kept in.
const MediaTypeRecord = "application/vnd.baleen.revision.v1+json"

// Record is what is kept of a revision besides its files.
type Record struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	Message string    `json:"message,omitempty"`
	Kind    string    `json:"kind"`
	// Image is the name by which the image was asked for, ImageID its id, and
	// Manifest that of the container's platform; nil FROM scratch.
	Image    string              `json:"image,omitempty"`
	ImageID  digest.Digest       `json:"imageID,omitempty"`
	Manifest *ocispec.Descriptor `json:"manifest,omitempty"`
	Platform ocispec.Platform    `json:"platform"`
	// Config is what the client keeps of its configuration of the container.
	Config json.RawMessage `json:"config,omitempty"`
	// Volumes are the names of the volumes that came with an upgrade and that Config does
	// not tell of; nil if that is not known.
	Volumes []string `json:"volumes,omitzero"`
}

// Revision is a kept state of a container.
type Revision struct {
	Record
	Snapshot string // its name
	Previous int    // the revision that it was made from, 0 for none
	Size     int64  // of its own layer, in bytes on disk; -1 if it could not be measured
	Current  bool   // the container stands on it
}

// keptImage is what a revision keeps of its image's content: that of the
// container's platform.
func (r *Record) keptImage() digest.Digest {
	if r.Manifest == nil {
		return ""
	}
	return r.Manifest.Digest
}

// WriteRecord stores the record of a revision of a container, and returns the labels
// for the revision's snapshot. previous is the number of the revision that this one
// was made from, 0 for none.
func WriteRecord(ctx context.Context, store content.Ingester, container string, r *Record, previous int) (map[string]string, error) {
	dgst, err := storeRecord(ctx, store, r)
	if err != nil {
		return nil, fmt.Errorf("write record of revision %d: %w", r.Number, err)
	}
	labels := map[string]string{
		label.Container: container,
		label.Record:    dgst.String(),
		label.RefRecord: dgst.String(),
	}
	if previous > 0 {
		labels[label.Previous] = strconv.Itoa(previous)
	}
	if r.ImageID != "" {
		labels[label.Image] = r.ImageID.String()
	}
	if image := r.keptImage(); image != "" {
		labels[label.RefImage] = image.String()
	}
	return labels, nil
}

func storeRecord(ctx context.Context, store content.Ingester, r *Record) (digest.Digest, error) {
	text, err := json.Marshal(r)
	if err == nil {
		err = bounded.Own.Check(text) // or it could not be read again
	}
	if err != nil {
		return "", err
	}
	desc := ocispec.Descriptor{MediaType: MediaTypeRecord, Digest: digest.FromBytes(text), Size: int64(len(text))}
	return desc.Digest, blob.Write(ctx, store, bytes.NewReader(text), desc)
}

// ReadRecord reads the record of the revision that a snapshot is.
func ReadRecord(ctx context.Context, provider content.Provider, i snapshots.Info) (r Record, err error) {
	dgst, err := digest.Parse(i.Labels[label.Record])
	if err != nil {
		return Record{}, fmt.Errorf("snapshot %s has no record: %w", i.Name, errdefs.ErrDataLoss)
	}
	if err := bounded.Own.ReadJSON(ctx, provider, ocispec.Descriptor{Digest: dgst}, &r); err != nil {
		return Record{}, fmt.Errorf("read record of snapshot %s: %w", i.Name, err)
	}
	return r, nil
}

// List returns the container's revisions, the oldest first.
func (h *History) List(ctx context.Context) ([]Revision, error) {
	t, err := h.load(ctx)
	if err != nil {
		return nil, err
	}
	return h.list(ctx, t)
}

func (h *History) list(ctx context.Context, t *tree) ([]Revision, error) {
	numbers := t.numbers()
	list := make([]Revision, len(numbers))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for at, n := range numbers {
		all.Go(func() (err error) {
			i, _ := t.revision(n)
			list[at], err = h.revision(ctx, t, i)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Revision) int { return cmp.Compare(a.Number, b.Number) })
	return list, nil
}

// Revision returns one revision by its number.
func (h *History) Revision(ctx context.Context, n int) (Revision, error) {
	t, err := h.load(ctx)
	if err != nil {
		return Revision{}, err
	}
	return h.found(ctx, t, n)
}

func (h *History) found(ctx context.Context, t *tree, n int) (Revision, error) {
	i, ok := t.revision(n)
	if !ok {
		return Revision{}, h.missing(n)
	}
	return h.revision(ctx, t, i)
}

func (h *History) missing(n int) error {
	return fmt.Errorf("revision %d of container %s does not exist, or has been pruned: %w", n, h.Container, errdefs.ErrNotFound)
}

func (h *History) revision(ctx context.Context, t *tree, i snapshots.Info) (Revision, error) {
	r, err := ReadRecord(ctx, h.Content, i)
	if err != nil {
		return Revision{}, err
	}
	previous, _ := strconv.Atoi(i.Labels[label.Previous]) // 0 if there is none
	return Revision{
		Record: r, Snapshot: i.Name, Previous: previous, Size: h.store().Measured(ctx, i),
		Current: t.active != nil && t.standsOn(*t.active) == r.Number,
	}, nil
}

// State returns the record of what the container moved to last; nil if it never
// moved.
func (h *History) State(ctx context.Context) (*Record, error) {
	active, err := h.Snapshots.Stat(ctx, h.Container)
	if err != nil {
		return nil, fmt.Errorf("look up snapshot %s: %w", h.Container, err)
	}
	dgst := active.Labels[label.State]
	if dgst == "" {
		return nil, nil
	}
	active.Labels = map[string]string{label.Record: dgst}
	r, err := ReadRecord(ctx, h.Content, active)
	return &r, err
}
