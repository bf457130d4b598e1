package containerstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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

// labels writes a revision's record, and returns the labels for its snapshot.
func (h *History) labels(ctx context.Context, r *Record, previous int) (map[string]string, error) {
	dgst, err := h.writeRecord(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("write record of revision %d: %w", r.Number, err)
	}
	labels := map[string]string{
		labelContainer: h.Container,
		labelRecord:    dgst.String(),
		gcRefRecord:    dgst.String(),
	}
	if previous > 0 {
		labels[LabelPrevious] = strconv.Itoa(previous)
	}
	if r.ImageID != "" {
		labels[LabelImage] = r.ImageID.String()
	}
	if image := r.keptImage(); image != "" {
		labels[gcRefImage] = image.String()
	}
	return labels, nil
}

func (h *History) writeRecord(ctx context.Context, r *Record) (digest.Digest, error) {
	text, err := json.Marshal(r)
	if err == nil {
		err = bounded.Own.Check(text) // or it could not be read again
	}
	if err != nil {
		return "", err
	}
	desc := ocispec.Descriptor{MediaType: MediaTypeRecord, Digest: digest.FromBytes(text), Size: int64(len(text))}
	ref := "revision-" + rand.Text()
	if err := h.write(ctx, ref, text, desc); err != nil {
		ctx, cancel := cleanup(ctx)
		defer cancel()
		if abort := h.Content.Abort(ctx, ref); abort != nil && !errdefs.IsNotFound(abort) {
			err = fmt.Errorf("%w (and could not be aborted: %w)", err, abort)
		}
		return "", err
	}
	return desc.Digest, nil
}

// write stores a blob. [content.WriteBlob] would do, but for as long as containerd
// is away it goes on trying, and does not return.
func (h *History) write(ctx context.Context, ref string, text []byte, desc ocispec.Descriptor) (err error) {
	w, err := h.Content.Writer(ctx, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) { // it is under the lease now
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return content.Copy(ctx, w, bytes.NewReader(text), desc.Size, desc.Digest)
}

func (h *History) readRecord(ctx context.Context, i snapshots.Info) (r Record, err error) {
	dgst, err := digest.Parse(i.Labels[labelRecord])
	if err != nil {
		return Record{}, fmt.Errorf("snapshot %s has no record: %w", i.Name, errdefs.ErrDataLoss)
	}
	if err := bounded.Own.ReadJSON(ctx, h.Content, ocispec.Descriptor{Digest: dgst}, &r); err != nil {
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
	r, err := h.readRecord(ctx, i)
	if err != nil {
		return Revision{}, err
	}
	previous, _ := strconv.Atoi(i.Labels[LabelPrevious]) // 0 if there is none
	return Revision{
		Record: r, Snapshot: i.Name, Previous: previous, Size: h.measured(ctx, i),
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
	dgst := active.Labels[labelState]
	if dgst == "" {
		return nil, nil
	}
	active.Labels = map[string]string{labelRecord: dgst}
	r, err := h.readRecord(ctx, active)
	return &r, err
}

// Next returns the number that the next revision gets.
func (h *History) Next(ctx context.Context) (int, error) {
	t, err := h.open(ctx)
	if err != nil {
		return 0, err
	}
	return t.next(), nil
}

func with(labels, more map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+len(more))
	maps.Copy(all, labels)
	maps.Copy(all, more)
	return all
}

// cleanup returns a context for ending work also after ctx has ended.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
