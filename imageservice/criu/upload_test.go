package criu_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/baleen-project/baleen/imageservice/criu"
)

// stores are containerd's own, in this process. A test can have a call fail.
type stores struct {
	db                                *metadata.DB
	leases                            leases.Manager
	failLease, failAdd, failWrite     error
	failCommit, failTruncate, failEnd error
}

func newStores(t *testing.T) (context.Context, *stores) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bdb, err := bolt.Open(filepath.Join(t.TempDir(), "meta.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bdb.Close() })
	db := metadata.NewDB(bdb, store, nil)
	return namespaces.WithNamespace(t.Context(), "moby"), &stores{db: db, leases: metadata.NewLeaseManager(db)}
}

func (s *stores) LeasesService() leases.Manager { return addingLeases{s.leases, s} }

func (s *stores) ContentStore() content.Store { return writingStore{s.db.ContentStore(), s} }

func (s *stores) WithLease(ctx context.Context, _ ...leases.Opt) (context.Context, func(context.Context) error, error) {
	if s.failLease != nil {
		return nil, nil, s.failLease
	}
	l, err := s.leases.Create(ctx, leases.WithRandomID())
	return leases.WithLease(ctx, l.ID), func(ctx context.Context) error {
		return errors.Join(s.failEnd, s.leases.Delete(ctx, l))
	}, err
}

type addingLeases struct {
	leases.Manager
	s *stores
}

func (a addingLeases) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	if a.s.failAdd != nil {
		return a.s.failAdd
	}
	return a.Manager.AddResource(ctx, l, r)
}

type writingStore struct {
	content.Store
	s *stores
}

func (w writingStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	writer, err := w.Store.Writer(ctx, opts...)
	return failingWriter{writer, w.s}, err
}

type failingWriter struct {
	content.Writer
	s *stores
}

func (f failingWriter) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	return n, errors.Join(err, f.s.failWrite)
}

func (f failingWriter) Truncate(size int64) error {
	return errors.Join(f.s.failTruncate, f.Writer.Truncate(size))
}

func (f failingWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	if f.s.failCommit != nil {
		return f.s.failCommit
	}
	return f.Writer.Commit(ctx, size, expected, opts...)
}

// left counts what stands in the stores.
func (s *stores) left(t *testing.T, ctx context.Context) (blobs, ingests, held int) {
	t.Helper()
	err := s.db.ContentStore().Walk(ctx, func(content.Info) error { blobs++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	open, err := s.db.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.leases.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return blobs, len(open), len(l)
}

// dumpFolder is a folder with one file.
func dumpFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pages-1.img"), []byte("pages"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUploadKeepsTheDumpUntilItIsReleased(t *testing.T) {
	ctx, s := newStores(t)
	dir := dumpFolder(t)
	for range 2 { // the second time the blob is there
		desc, release, err := criu.Upload(ctx, s, dir)
		if err != nil {
			t.Fatal(err)
		}
		if desc.MediaType != images.MediaTypeContainerd1Checkpoint || !holdsPages(t, ctx, s, desc.Digest) {
			t.Errorf("%+v", desc)
		}
		if _, err := s.db.GarbageCollect(ctx); err != nil {
			t.Fatal(err)
		}
		if blobs, ingests, held := s.left(t, ctx); blobs != 1 || ingests != 0 || held != 1 {
			t.Errorf("before the release: %d blobs, %d ingests, %d leases", blobs, ingests, held)
		}
		release()
	}
	if _, err := s.db.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	if blobs, ingests, held := s.left(t, ctx); blobs+ingests+held != 0 {
		t.Errorf("after it: %d blobs, %d ingests, %d leases", blobs, ingests, held)
	}
}

// holdsPages reports whether a blob is an archive of the folder's file.
func holdsPages(t *testing.T, ctx context.Context, s *stores, of string) bool {
	t.Helper()
	text, err := content.ReadBlob(ctx, s.db.ContentStore(), ocispec.Descriptor{Digest: digest.Digest(of)})
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(bytes.NewReader(text))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(header.Name) == "pages-1.img" {
			got, err := io.ReadAll(archive)
			return err == nil && string(got) == "pages"
		}
	}
}

func TestUploadStartsAnew(t *testing.T) {
	ctx, s := newStores(t)
	dir := dumpFolder(t)
	w, err := s.db.ContentStore().Writer(ctx, content.WithRef(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("of an upload that a crash has cut short")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	desc, release, err := criu.Upload(ctx, s, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !holdsPages(t, ctx, s, desc.Digest) {
		t.Error("the archive is not the folder's")
	}
}

func TestUploadFailsCleanly(t *testing.T) {
	failure := errors.New("containerd is away")
	for name, fail := range map[string]func(*stores){
		"lease":          func(s *stores) { s.failLease = failure },
		"keep":           func(s *stores) { s.failAdd = failure },
		"write":          func(s *stores) { s.failWrite = failure },
		"truncate":       func(s *stores) { s.failTruncate = failure },
		"commit":         func(s *stores) { s.failCommit = failure },
		"commit, lease":  func(s *stores) { s.failCommit, s.failEnd = failure, failure },
		"commit, exists": func(s *stores) { s.failCommit = errdefs.ErrAlreadyExists },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := newStores(t)
			fail(s)
			_, release, err := criu.Upload(ctx, s, dumpFolder(t))
			if name == "commit, exists" {
				if err != nil {
					t.Fatal(err)
				}
				release()
			} else if !errors.Is(err, failure) || release != nil {
				t.Errorf("got %v", err)
			}
			if blobs, ingests, held := s.left(t, ctx); blobs+ingests+held != 0 {
				t.Errorf("left: %d blobs, %d ingests, %d leases", blobs, ingests, held)
			}
		})
	}
}

func TestReference(t *testing.T) {
	ctx, s := newStores(t)
	dir := filepath.Join(t.TempDir(), "checkpoints", "one")
	if err := criu.WriteReference(dir, ocispec.Descriptor{Digest: "sha256:abc", Size: 3}); err != nil {
		t.Fatal(err)
	}
	desc, release, err := criu.Upload(ctx, s, dir)
	if err != nil || desc.Digest != "sha256:abc" || desc.Size != 3 || desc.MediaType != images.MediaTypeContainerd1Checkpoint {
		t.Fatalf("%+v: %v", desc, err)
	}
	release()
	if err := os.WriteFile(filepath.Join(dir, "baleen-descriptor.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := criu.Upload(ctx, s, dir); err == nil {
		t.Error("no error of a spoilt reference")
	}
}
