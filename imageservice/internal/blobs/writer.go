package blobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Writer is a blob on its way into containerd's content store, under the lease
// of the context that it was started with. It has one user, who always closes it.
//
// The bytes go into a file in the store's folder, which gets its name when it is whole;
// then containerd is told of it. Where that cannot be, they are sent to containerd.
type Writer struct {
	s   *Store
	ctx context.Context // for Write, which has no parameter for it

	file   *file   // nil if the bytes are sent
	stream *stream // nil until there is a call
	named  bool    // the file has been given its name
	stored bool
}

// Open starts a blob.
func (s *Store) Open(ctx context.Context) (*Writer, error) {
	w := &Writer{s: s, ctx: ctx, file: s.openFile(ctx)}
	if w.file != nil {
		return w, nil
	}
	var err error
	if w.stream, err = s.openStream(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// Write takes a piece of the blob. It may return before the piece is stored:
// Commit tells whether all are.
func (w *Writer) Write(p []byte) (int, error) {
	if w.file != nil {
		return w.file.Write(p)
	}
	return w.stream.Write(p)
}

// Commit makes the blob one of the store's, with labels. If the store has it
// already, that one is put under the lease and gets the labels that it lacks.
// The caller answers for the digest: containerd checks that of a blob that is sent alone.
func (w *Writer) Commit(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) error {
	if w.file != nil {
		err := w.place(ctx, desc, labels)
		if err == nil {
			w.stored = true
			return nil
		}
		var refused errRefused
		if !errors.As(err, &refused) {
			return err
		}
		if !w.named || w.file.hasName() { // else it was collected meanwhile
			w.s.refused(ctx, refused)
		}
		if err := w.resend(ctx); err != nil {
			return fmt.Errorf("send what could not be placed: %w", err)
		}
	}
	if err := w.stream.commit(ctx, desc, labels); err != nil {
		return err
	}
	w.stored = true
	return nil
}

// place gives the file its name, and has containerd take it. It returns an errRefused if
// the bytes are to be sent.
func (w *Writer) place(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) (err error) {
	if err := w.file.finish(desc.Size); err != nil {
		return err
	}
	if err := w.file.name(desc.Digest); err != nil {
		return err
	}
	w.named = true
	if err := w.file.syncName(); err != nil {
		return err
	}
	call, err := w.s.openStream(ctx)
	if err != nil {
		return err
	}
	defer func() { err = call.close(ctx, err) }()
	err = call.adopt(ctx, desc, labels)
	if errdefs.IsOutOfRange(err) {
		return errRefused{err}
	}
	return err
}

// resend sends the bytes of the file.
func (w *Writer) resend(ctx context.Context) (err error) {
	if w.stream, err = w.s.openStream(ctx); err != nil {
		return err
	}
	return w.file.copyTo(w.stream)
}

// Close ends the call, and drops what was written if it was not committed. It
// returns the failure that it is given, with its own.
func (w *Writer) Close(ctx context.Context, failure error) error {
	if w.stream != nil {
		failure = w.stream.close(ctx, failure)
	}
	if w.file != nil {
		w.file.close()
	}
	// Whether containerd has a record of the file is not known, and another blob may be
	// the same: only containerd can remove it.
	if w.named && !w.stored {
		w.s.CollectLater(ctx)
	}
	return failure
}
