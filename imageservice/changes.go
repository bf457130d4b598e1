package imageservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/log"
	"github.com/moby/go-archive"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/imageservice/internal/changelist"
)

// Changes lists what differs in a container's file system from what it was
// created with, a directory before what is in it; `docker diff` prints it. Files of
// the init layer, which the runtime mounts over, are no changes. The cost follows
// the changes. Of a path that no layer can hold the beginning is listed, with the
// reason, and nothing that is in it.
//
// Inside of [AnswerChanges] the list is empty, and what there is goes to that.
func (s *Service) Changes(ctx context.Context, ctr *moby.Container) ([]archive.Change, error) {
	var changes []archive.Change
	list := func(change archive.Change) error {
		changes = append(changes, change)
		return nil
	}
	if answer, ok := ctx.Value(changeListKey{}).(*changelist.List); ok {
		list = answer.Add
	}
	if err := s.listChanges(ctx, ctr, list); err != nil {
		return nil, compat.DockerError(fmt.Errorf("list changes of container %s: %w", ctr.ID, err))
	}
	return changes, nil
}

func (s *Service) listChanges(ctx context.Context, ctr *moby.Container, list func(archive.Change) error) error {
	defer s.files.Locks.Read(ctr.ID)()
	c, _, err := s.files.Overlay(ctx, ctr)
	if errors.Is(err, diff.ErrUnsupported) {
		log.G(ctx).WithError(err).WithField("container", ctr.ID).Info("listing changes by comparing whole trees")
		return s.compareTrees(ctx, ctr, list)
	}
	if err != nil {
		return err
	}
	c.Shown = true // the container goes on meanwhile
	_, err = c.Walk(ctx, func(change *changes.Change) error {
		if change.Depth() == 0 {
			return nil
		}
		return list(archive.Change{Path: "/" + change.Shown(), Kind: changeKinds[change.Kind]})
	})
	return err
}

var changeKinds = map[changes.Kind]archive.ChangeType{
	changes.Added:    archive.ChangeAdd,
	changes.Modified: archive.ChangeModify,
	changes.Deleted:  archive.ChangeDelete,
}

// compareTrees lists changes at a cost that follows the image.
func (s *Service) compareTrees(ctx context.Context, ctr *moby.Container, list func(archive.Change) error) (err error) {
	// The view below is garbage to containerd unless a lease holds it.
	ctx, end, err := s.files.Operations.Begin(ctx, "diff", ctr.ID, false)
	if err != nil {
		return err
	}
	defer func() { end(err) }()

	return s.files.WithTrees(ctx, ctr, func(before, now []mount.Mount) error {
		return mount.WithReadonlyTempMount(ctx, before, func(old string) error {
			return mount.WithReadonlyTempMount(ctx, now, func(root string) error {
				changes, err := archive.ChangesDirs(root, old)
				if err != nil {
					return err
				}
				slices.SortFunc(changes, func(a, b archive.Change) int { return strings.Compare(asWalked(a.Path), asWalked(b.Path)) })
				for _, change := range changes {
					if err := list(change); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

// asWalked makes of a path what sorts in the order of a walk: a directory before what
// is in it, and names by their bytes.
func asWalked(path string) string { return strings.ReplaceAll(path, "/", "\x00") }

// AnswerChanges answers a request for the changes of a container. changes calls
// [Service.Changes] with the context and the name that it is given; what another
// image service returns is answered as well. The changes may be of any number: they are not in
// memory together, and the container is read before the answer begins, so that an
// error is one of the answer.
func AnswerChanges(ctx context.Context, w http.ResponseWriter, changes func(ctx context.Context, name string) ([]archive.Change, error), name string) (err error) {
	list := &changelist.List{}
	defer func() { err = errors.Join(err, list.Close()) }()
	more, err := changes(context.WithValue(ctx, changeListKey{}, list), name)
	if err != nil {
		return err
	}
	for _, change := range more {
		if err := list.Add(change); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return list.Answer(ctx, w)
}

type changeListKey struct{}
