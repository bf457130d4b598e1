package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
)

// operationLeases looks for leases of operations that are not under way.
func (k *checker) operationLeases(ctx context.Context) error {
	own, err := k.Service.OwnLeases(ctx)
	if err != nil {
		return fmt.Errorf("list the leases of operations: %w", err)
	}
	k.report.Looked.Leases += len(own)
	idle := map[string]bool{}
	for _, l := range own {
		if !k.Service.IsUnderWay(l.ID) {
			idle[l.ID] = true
		}
	}
	if len(idle) == 0 {
		return nil
	}
	// One whose operation has ended since the first list is gone from the second.
	if own, err = k.Service.OwnLeases(ctx); err != nil {
		return fmt.Errorf("list the leases of operations: %w", err)
	}
	for _, l := range own {
		if idle[l.ID] {
			k.leaked(ctx, l)
		}
	}
	return nil
}

func (k *checker) leaked(ctx context.Context, l Lease) {
	f := api.Finding{
		Kind: api.FindingLease, Object: l.ID,
		Text: fmt.Sprintf("the lease keeps what a %q of %s has made, and that is not under way", l.Verb, l.Object),
		Help: "docker baleen check --repair deletes the lease, and containerd what it alone keeps; so does a restart of the daemon",
	}
	if l.Pauses {
		f.Help = "restart the daemon: it lets container " + l.Object + " go on first, if that still stands still"
		k.found(ctx, f, nil)
		return
	}
	k.found(ctx, f, func(ctx context.Context) error {
		if err := k.mayCollect(); err != nil {
			return err
		}
		err := k.Leases.Delete(ctx, leases.Lease{ID: l.ID}, leases.SynchronousDelete)
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// mayCollect returns an error if containerd could collect what a container lacks a hold on.
func (k *checker) mayCollect() error {
	if k.failed || len(k.report.Busy) > 0 {
		return errors.New("containerd may remove snapshots of the containers that could not be judged or repaired: check again when they are")
	}
	return nil
}

// containerLease is the id of the lease of a container's layer or of an image mount:
// the id of the container, and what follows it.
var containerLease = regexp.MustCompile(`^([0-9a-f]{64})(-.*)?$`)

// containerLeases looks for leases of containers that the daemon does not have.
func (k *checker) containerLeases(ctx context.Context) error {
	all, err := k.Leases.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range all {
		of := containerLease.FindStringSubmatch(l.ID)
		if of == nil {
			continue
		}
		k.report.Looked.Leases++
		if k.isKnown(of[1]) {
			continue
		}
		still, err := k.Leases.List(ctx, fmt.Sprintf("id==%q", l.ID))
		if err != nil {
			return fmt.Errorf("look up lease %s: %w", l.ID, err)
		}
		if len(still) == 0 { // the container was just removed
			continue
		}
		k.found(ctx, api.Finding{
			Kind: api.FindingNoContainer, Object: l.ID, Container: of[1],
			Text: "the lease keeps the files of a container that the daemon does not have",
			Help: "unless another daemon uses the same containerd: look at the files (ctr snapshots mounts), then ctr leases delete " + l.ID + " in the daemon's namespace",
		}, nil)
	}
	return nil
}

// isKnown reports whether there is, or may be, a container: one that is being made or
// removed, or was not loaded, has a folder.
func (k *checker) isKnown(id string) bool {
	if k.Containers.Get(id) != nil {
		return true
	}
	_, err := os.Lstat(filepath.Join(k.Folder, id))
	return !errors.Is(err, fs.ErrNotExist)
}
