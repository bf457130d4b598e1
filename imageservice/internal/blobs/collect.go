package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/imageservice/internal/lease"
)

// errCollect has the end of an operation collect at once what it held.
var errCollect = errors.New("collect")

// Collect has containerd remove the files in its folder of blobs that it has no record of.
// A crash leaves such a file behind between the moment that it gets its name and the one
// that containerd knows of it. Nobody else can remove it: containerd may take it at any
// moment.
func (s *Store) Collect(ctx context.Context) error {
	if path, err := s.folderPath(ctx); err != nil || path == "" { // of no folder nothing is left
		return err
	}
	// containerd looks for such files when it has removed a record. So one is made.
	ctx, end, err := s.operations.Begin(ctx, "collect", "blobs", false)
	if err != nil {
		return err
	}
	defer end(errCollect)
	ctx, cancel := lease.Cleanup(ctx) // also at shutdown
	defer cancel()
	text := []byte("baleen " + rand.Text() + "\n")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(text), Size: int64(len(text))}
	w, err := s.openStream(ctx)
	if err != nil {
		return err
	}
	if _, err = w.Write(text); err == nil {
		err = w.commit(ctx, desc, nil)
	}
	return w.close(ctx, err)
}

// Unknown returns the sizes of the files in the folder of blobs that containerd has no
// record of, in no namespace, by their digests. Those of blobs that are just being stored
// are among them. It returns none where blobs are sent.
func (s *Store) Unknown(ctx context.Context) (map[digest.Digest]int64, error) {
	if path, err := s.folderPath(ctx); err != nil || path == "" {
		return nil, err
	}
	leased, end, err := s.operations.Begin(ctx, "check", "blobs", false)
	if err != nil {
		return nil, err
	}
	// Else this is perhaps another folder than containerd's.
	path := s.placingFolder(leased)
	end(nil)
	if path == "" {
		return nil, nil
	}
	files, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list the folder of blobs: %w", err)
	}
	unknown := map[digest.Digest]int64{}
	for _, file := range files {
		dgst := digest.NewDigestFromEncoded(digest.Canonical, file.Name())
		if info, err := file.Info(); err == nil && dgst.Validate() == nil { // else it was removed, or is no blob
			unknown[dgst] = info.Size()
		}
	}
	spaces, err := s.client.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	for _, space := range spaces {
		err := s.content.Walk(namespaces.WithNamespace(ctx, space), func(info content.Info) error {
			delete(unknown, info.Digest)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the blobs of namespace %s: %w", space, err)
		}
	}
	return unknown, nil
}

// CollectLater calls Collect in the background, until it succeeds.
func (s *Store) CollectLater(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	_, done := s.operations.Live(ctx)
	go func() {
		defer done()
		err := s.Collect(ctx)
		if err != nil {
			err = lease.Retry(ctx, s.Collect)
		}
		if err != nil {
			log.G(ctx).WithError(err).Warn("a blob that was not finished may be left in containerd's folder; docker baleen check --repair removes it")
		}
	}()
}
