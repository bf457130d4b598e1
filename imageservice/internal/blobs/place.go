package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// placing is what is known of whether containerd takes blobs that lie in its folder.
type placing struct {
	mu     sync.Mutex
	known  bool
	folder string // "" if it does not
	logged string // the last reason
}

// openFile makes a file in the folder of blobs. It returns nil if blobs are to be sent.
func (s *Store) openFile(ctx context.Context) *file {
	folder := s.placingFolder(ctx)
	if folder == "" {
		return nil
	}
	f, err := newFile(folder)
	if err != nil {
		s.placing.log(ctx, err)
		return nil
	}
	return f
}

// placingFolder returns the folder of blobs if containerd takes those that lie there. To
// find out it stores one, under the lease in ctx.
func (s *Store) placingFolder(ctx context.Context) string {
	p := &s.placing
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		return p.folder
	}
	folder, err := s.tryPlacing(ctx)
	var refused errRefused
	switch {
	case err == nil:
		p.known, p.folder = true, folder
	case errors.As(err, &refused):
		p.known = !isPassing(err)
		p.folder = ""
		p.logLocked(ctx, err)
	default: // the operation will fail as well, or the next one learns it
		log.G(ctx).WithError(err).Debug("could not learn whether blobs can be placed: sending them")
	}
	return folder
}

// isPassing reports whether what kept a blob from being placed may be over for the next one:
// containerd makes the folder for its first blob, and files are removed and closed.
func isPassing(err error) bool {
	return slices.ContainsFunc([]unix.Errno{unix.ENOENT, unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM},
		func(passing unix.Errno) bool { return errors.Is(err, passing) })
}

// log says why blobs are sent, once.
func (p *placing) log(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logLocked(ctx, err)
}

func (p *placing) logLocked(ctx context.Context, err error) {
	if p.logged != err.Error() {
		p.logged = err.Error()
		log.G(ctx).WithError(err).Info("blobs are sent to containerd, which takes longer than to place them in its folder")
	}
}

// refused notes that a blob could not be placed: the next one finds out whether any can.
func (s *Store) refused(ctx context.Context, why error) {
	log.G(ctx).WithError(why).Debug("sending a blob that could not be placed")
	s.placing.mu.Lock()
	defer s.placing.mu.Unlock()
	s.placing.known = false
}

// tryPlacing finds the folder of blobs, and places one there. It returns an errRefused if
// that cannot be, or containerd does not take it: with another sharing policy, or if
// what has the folder's name here is another one than containerd's.
func (s *Store) tryPlacing(ctx context.Context) (_ string, err error) {
	folder, err := s.folderPath(ctx)
	if err != nil {
		return "", fmt.Errorf("find the folder of blobs: %w", err)
	}
	if folder == "" {
		return "", errRefused{fmt.Errorf("containerd's content store is in no folder: %w", errdefs.ErrNotImplemented)}
	}
	w := &Writer{s: s, ctx: ctx}
	if w.file, err = newFile(folder); err != nil {
		return "", errRefused{err}
	}
	defer func() { err = w.Close(ctx, err) }()
	// Nobody else has a blob of these bytes, so it can be removed.
	text := []byte("baleen " + rand.Text() + "\n")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(text), Size: int64(len(text))}
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	err = w.place(ctx, desc, nil)
	if refused := (errRefused{}); errors.As(err, &refused) && w.named {
		if !w.file.hasName() {
			return "", fmt.Errorf("blob %s was collected before containerd had a record of it: %w", desc.Digest, errdefs.ErrUnavailable)
		}
		if err := unix.Unlinkat(int(w.file.folder.Fd()), desc.Digest.Encoded(), 0); err == nil || errors.Is(err, unix.ENOENT) {
			w.named = false
		}
		return "", errRefused{fmt.Errorf("containerd does not take a blob from %s: its content_sharing_policy is %q, or its folder is another one: %w", folder, s.sharingPolicy(), refused.why)}
	}
	if err != nil {
		return "", err
	}
	w.stored = true // and goes with the lease
	return folder, nil
}
