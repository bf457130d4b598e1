package imageservice

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/snapshotter"
)

// blobFolder is where containerd keeps blobs.
type blobFolder struct {
	mu   sync.Mutex
	path string // "" as long as it is not known
}

// syncBlobs puts the names of all blobs on disk. containerd syncs what a blob
// holds and then gives it its name, but does not sync the folder with the names:
// its records outlive a power cut, and the last blobs that they tell of do not.
//
// A content store that is not in a folder of this machine has to care for
// that itself.
func (s *Service) syncBlobs(ctx context.Context) error {
	folder, err := s.blobFolder(ctx)
	if err != nil {
		return fmt.Errorf("find the folder of blobs: %w", err)
	}
	if folder == "" {
		return nil
	}
	err = snapshotter.SyncFile(folder)
	if errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithField("folder", folder).Debug("the folder of blobs is not here: their names are not synced")
		return nil
	}
	return err
}

// blobFolder asks containerd once where the blobs are. It returns "" if they are
// in no folder.
func (s *Service) blobFolder(ctx context.Context) (string, error) {
	s.blobs.mu.Lock()
	defer s.blobs.mu.Unlock()
	if s.blobs.path != "" {
		return s.blobs.path, nil
	}
	found, err := s.client.IntrospectionService().Plugins(ctx, "type=="+plugins.ContentPlugin.String())
	if err != nil {
		return "", err
	}
	for _, p := range found.Plugins {
		if root := p.Exports["root"]; root != "" {
			s.blobs.path = filepath.Join(root, "blobs", digest.Canonical.String())
		}
	}
	return s.blobs.path, nil
}
