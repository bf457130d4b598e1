package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/baseimage"
)

// containers looks at each container. Operations that were cut short are completed or
// taken back when all snapshots are held: that may have containerd collect garbage.
func (k *checker) containers(ctx context.Context) error {
	for _, c := range k.Containers.List() {
		if err := k.container(ctx, c); err != nil {
			return fmt.Errorf("container %s: %w", c.ID, err)
		}
	}
	for _, settle := range k.settle {
		settle()
	}
	return nil
}

// looked is what was found at one look at a container.
type looked struct {
	containerstore.Inspection
	unheld   []string // snapshots
	manifest digest.Digest
	image    error // of the container's image, which has that manifest
}

func (l looked) isFine() bool {
	return l.HasActive && len(l.Faults) == 0 && len(l.unheld) == 0 && l.image == nil
}

// container looks at a container until it has not been worked on meanwhile.
func (k *checker) container(ctx context.Context, c *moby.Container) error {
	done, err := again(ctx, func() (bool, error) {
		if here, known := k.isHere(ctx, c); !here || !known {
			return known, ctx.Err()
		}
		watch := k.Service.Watch(c.ID)
		defer watch.End()
		l, err := k.look(ctx, c)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || !l.isFine() {
			if here, known := k.isHere(ctx, c); !here || !known { // what was looked at was being removed
				return known, ctx.Err()
			}
			if !watch.Quiet() || errdefs.IsConflict(err) {
				return false, nil
			}
		}
		if errors.Is(err, context.DeadlineExceeded) { // lookTime: others are looked at
			k.report.Busy = append(k.report.Busy, c.ID)
			return true, nil
		}
		k.report.Looked.Containers++
		if err != nil {
			given := failed(ctx, err)
			if given == nil {
				k.found(ctx, api.Finding{
					Kind: api.FindingUnreadable, Object: c.ID, Container: c.ID, Text: err.Error(),
					Help: "look into the logs of the daemon and of containerd, and whether their disks are well",
				}, nil)
			}
			return given == nil, given
		}
		k.report.Looked.Revisions += l.Revisions
		for _, record := range l.Records {
			k.blobs[record] = true
		}
		k.judge(ctx, c, l)
		return true, nil
	})
	if err == nil && !done {
		k.report.Busy = append(k.report.Busy, c.ID)
	}
	return err
}

// isHere reports whether the daemon has a container, of its storage driver, that it is
// not removing. It is not known of one that stays locked.
func (k *checker) isHere(ctx context.Context, c *moby.Container) (here, known bool) {
	if k.Containers.Get(c.ID) != c || c.Driver != "" && c.Driver != k.Snapshotter {
		return false, true
	}
	return ask(ctx, c, func() bool { return !c.State.RemovalInProgress && !c.State.Dead })
}

// lockPatience is how long is waited for a container that is locked: a start that hangs
// keeps it so.
const lockPatience = 2 * time.Second

// ask asks a question while a container is locked. It does not wait for the lock in a
// goroutine: of each check one would stay for as long as others keep the container locked.
func ask(ctx context.Context, c *moby.Container, question func() bool) (answer, known bool) {
	for deadline := time.Now().Add(lockPatience); !c.State.TryLock(); {
		if time.Now().After(deadline) {
			return false, false
		}
		select {
		case <-ctx.Done():
			return false, false
		case <-time.After(10 * time.Millisecond):
		}
	}
	defer c.State.Unlock()
	return question(), true
}

// lookTime bounds a look: the files of the container cannot be moved meanwhile.
const lookTime = 30 * time.Second

func (k *checker) look(ctx context.Context, c *moby.Container) (l looked, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	image := func(manifest ocispec.Descriptor, platform ocispec.Platform) error {
		return k.image(ctx, manifest, platform)
	}
	err = k.Service.Look(ctx, c.ID, func(h *containerstore.History) (err error) {
		if l.Inspection, err = h.Inspect(ctx, image); err != nil {
			return err
		}
		held, err := k.Leases.ListResources(ctx, leases.Lease{ID: c.ID})
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("list what lease %s holds: %w", c.ID, err)
		}
		l.unheld = slices.DeleteFunc(l.Kept, func(name string) bool {
			return slices.Contains(held, leases.Resource{ID: name, Type: "snapshots/" + k.Snapshotter})
		})
		return nil
	})
	if manifest := c.ImageManifest; err == nil && manifest != nil { // a move sets another
		l.manifest = manifest.Digest
		if l.image = image(*manifest, c.ImagePlatform); l.image != nil {
			err = failed(ctx, l.image)
		}
	}
	return l, err
}

// image returns an error if the manifest or the config of an image cannot be read.
func (k *checker) image(ctx context.Context, manifest ocispec.Descriptor, platform ocispec.Platform) error {
	if k.whole[manifest.Digest] {
		return nil
	}
	base, err := baseimage.Read(ctx, k.Content, manifest, platform)
	if err != nil {
		return err
	}
	k.whole[manifest.Digest] = true
	for _, blob := range append([]digest.Digest{manifest.Digest, base.Manifest.Config.Digest}, digests(base.Manifest.Layers)...) {
		k.blobs[blob] = true
	}
	return nil
}

func digests(of []ocispec.Descriptor) (all []digest.Digest) {
	for _, d := range of {
		all = append(all, d.Digest)
	}
	return all
}

// judge reports what is wrong with a container.
func (k *checker) judge(ctx context.Context, c *moby.Container, l looked) {
	var unfinished []string
	for _, f := range l.Faults {
		if f.Kind == containerstore.FaultUnfinished {
			unfinished = append(unfinished, "snapshot "+f.Snapshot+": "+f.Text)
			continue
		}
		told := faults[f.Kind]
		k.found(ctx, api.Finding{Kind: told.kind, Object: f.Snapshot, Container: c.ID, Text: f.Text, Help: told.help}, nil)
	}
	if len(unfinished) > 0 {
		k.settle = append(k.settle, func() {
			k.found(ctx, api.Finding{
				Kind: api.FindingUnfinished, Object: c.ID, Container: c.ID, Text: strings.Join(unfinished, "; "),
				Help: "docker baleen check --repair completes it or takes it back while the container is stopped; so does a restart of the daemon",
			}, func(ctx context.Context) error { return k.Service.Settle(ctx, c) })
		})
	}
	if !l.HasActive && len(unfinished) == 0 {
		k.found(ctx, api.Finding{
			Kind: api.FindingNoSnapshot, Object: c.ID, Container: c.ID,
			Text: "containerd has no snapshot of what the container wrote: its files are gone",
			Help: "bring containerd's data back from a backup, or remove the container with docker rm",
		}, nil)
	}
	if l.image != nil {
		k.found(ctx, api.Finding{
			Kind: api.FindingNoImage, Object: l.manifest.String(), Container: c.ID,
			Text: fmt.Sprintf("the image of the container cannot be read, so that it cannot be committed or upgraded: %v", l.image),
			Help: "pull or load an image that has what is missing",
		}, nil)
	}
	for _, name := range l.unheld {
		k.found(ctx, api.Finding{
			Kind: api.FindingUnheld, Object: name, Container: c.ID,
			Text: "the lease of the container does not hold the snapshot: containerd may remove it at any time",
			Help: "docker baleen check --repair has the lease hold it",
		}, func(ctx context.Context) error { return k.hold(ctx, c, name) })
	}
}

// hold has the lease of a container hold a snapshot. What is removed meanwhile must not
// be held for good.
func (k *checker) hold(ctx context.Context, c *moby.Container, name string) error {
	undo, err := k.Service.Hold(ctx, c.ID, name)
	if err != nil {
		return err
	}
	if here, known := k.isHere(ctx, c); here || !known {
		return nil
	}
	return undo()
}

// faults are the findings that faults of a history are.
var faults = map[containerstore.FaultKind]struct {
	kind api.FindingKind
	help string
}{
	containerstore.FaultContradiction: {api.FindingContradiction, "go back to another revision, or keep what the container has with docker commit; then remove the revision or the container"},
	containerstore.FaultRecord:        {api.FindingRecord, "the revision cannot be gone back to: remove it with docker baleen prune when nothing stands on it, or bring containerd's data back from a backup"},
	containerstore.FaultImage:         {api.FindingNoImage, "pull or load an image that has what is missing"},
	containerstore.FaultFolder:        {api.FindingFolder, "restart the daemon: it makes an empty folder again if nothing was written to it, and otherwise says what is lost; docker baleen rollback goes on without that"},
}
