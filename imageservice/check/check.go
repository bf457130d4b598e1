package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// Config is what a check looks at. All fields are needed, but Roots and TempMounts.
type Config struct {
	Containers  Containers
	Folder      string // has a folder of each container, named by the id
	Roots       string // the folder in which roots of containers are mounted; "" if unknown
	TempMounts  string // the folder of temporary mounts; "" if unknown
	Snapshotter string // its name, of which Snapshots is the service
	Snapshots   snapshots.Snapshotter
	Content     Content
	Images      images.Store
	Leases      leases.Manager
	Service     Service
}

// Containers are those of a daemon.
type Containers interface {
	Get(id string) *moby.Container // nil if there is none
	List() []*moby.Container
}

// Content is the part of a content store that is read.
type Content interface {
	content.Provider
	content.InfoProvider
}

// Lease is that of an operation of this daemon.
type Lease struct {
	ID, Verb, Object string
	Pauses           bool // the operation pauses its object, a container
}

// Watch tells whether an object was left alone while it was looked at.
type Watch interface {
	// Quiet reports whether no operation on the object has been under way since the
	// watch began.
	Quiet() bool
	End()
}

// Service is the image service that is checked.
type Service interface {
	// OwnLeases lists the leases of this daemon's operations.
	OwnLeases(ctx context.Context) ([]Lease, error)
	// IsUnderWay reports whether the operation of a lease is under way, and UnderWay
	// returns the leases of all that are.
	IsUnderWay(lease string) bool
	UnderWay() []string
	// Watch begins to watch for operations on a container or its image mounts.
	Watch(container string) Watch
	// Mounts returns how many users the mounted root of a container has, and how many
	// there ever were since the daemon started.
	Mounts(container string) (now, ever int)
	// Complete returns errdefs.ErrNotFound if an image lacks a blob.
	Complete(ctx context.Context, target ocispec.Descriptor) error
	// UnknownBlobs returns the sizes of the files in containerd's folder of blobs that it
	// has no record of, and CollectBlobs has it remove them.
	UnknownBlobs(ctx context.Context) (map[digest.Digest]int64, error)
	CollectBlobs(ctx context.Context) error

	// Look calls look while the container's files do not move. It returns
	// errdefs.ErrConflict if they are moved for so long that it gives up waiting.
	Look(ctx context.Context, container string, look func(*containerstore.History) error) error
	// Settle completes or takes back what was cut short of a container's operations.
	Settle(ctx context.Context, ctr *moby.Container) error
	// Hold has the lease of a container hold one of its snapshots; undo takes that back.
	Hold(ctx context.Context, container, snapshot string) (undo func() error, err error)
}

// Run looks for what is wrong, and repairs it if the request says so. Its error is
// that of a look which failed; what is wrong is in the report.
func Run(ctx context.Context, c Config, req api.CheckRequest) (api.CheckReport, error) {
	k := &checker{
		Config: c, req: req, report: api.CheckReport{Findings: []api.Finding{}},
		whole: map[digest.Digest]bool{}, blobs: map[digest.Digest]bool{},
	}
	// containerd collects garbage when a lease is deleted. What containers lack a hold on
	// must be held before.
	steps := []func(context.Context) error{k.containers, k.operationLeases, k.containerLeases, k.mounts, k.images, k.unknown}
	if req.Content {
		steps = append(steps, k.content)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return api.CheckReport{}, err
		}
	}
	return k.report, nil
}

type checker struct {
	Config
	req    api.CheckRequest
	report api.CheckReport
	whole  map[digest.Digest]bool // manifests that are there with their configs
	blobs  map[digest.Digest]bool // to be read
	failed bool                   // a repair did
	settle []func()               // report containers whose operations were cut short
}

// maxText is how many bytes of a text a report has: labels may be of any content.
const maxText = 4096

// found reports a finding, and has it repaired if that is possible and asked for.
func (k *checker) found(ctx context.Context, f api.Finding, repair func(context.Context) error) {
	if f.Repairable = repair != nil; f.Repairable && k.req.Repair {
		if err := repair(ctx); err != nil {
			f.Failure, k.failed = shortened(err.Error()), true
		} else {
			f.Repaired = true
		}
	}
	f.Text = shortened(f.Text)
	k.report.Found++
	if !f.Repaired {
		k.report.Left++
	}
	if len(k.report.Findings) < api.MaxFindings {
		k.report.Findings = append(k.report.Findings, f)
	}
}

func shortened(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// waits are those before a busy object is looked at again.
var waits = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

// again calls look until it says that it is done, and waits in between. It reports
// false if look was never done.
func again(ctx context.Context, look func() (done bool, err error)) (bool, error) {
	for _, wait := range append(slices.Clone(waits), 0) {
		done, err := look()
		if done || err != nil {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(wait):
		}
	}
	return false, nil
}

// failed returns an error that tells nothing of what was looked at: containerd is away,
// or the request has ended.
func failed(ctx context.Context, err error) error {
	if ctx.Err() != nil || errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
