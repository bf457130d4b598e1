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
)

// blobFolder is where containerd keeps blobs.
type blobFolder struct {
	mu   sync.Mutex
	path string // "" as long as it is not known
}

// blobNames puts the names of blobs on disk. containerd syncs what a blob holds and
// then gives it its name, but does not sync the folder with the names: its records
// outlive a power cut, and the last blobs that they tell of do not.
type blobNames struct{ folder *os.File } // nil if they are in no folder of this machine

// blobNames is asked for before the first blob is written that it is to be for: who
// opens the folder later may not hear that names were lost. The caller closes it.
//
// A content store that is not in a folder of this machine has to care for that
// itself.
func (s *Service) blobNames(ctx context.Context) (*blobNames, error) {
	path, err := s.blobFolder(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the folder of blobs: %w", err)
	}
	if path == "" {
		return &blobNames{}, nil
	}
	folder, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithField("folder", path).Debug("the folder of blobs is not here: their names are not synced")
		return &blobNames{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the folder of blobs: %w", err)
	}
	return &blobNames{folder}, nil
}

// sync puts all names on disk.
func (b *blobNames) sync() error {
	if b.folder == nil {
		return nil
	}
	if err := b.folder.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", b.folder.Name(), err)
	}
	return nil
}

func (b *blobNames) close() {
	if b.folder != nil {
		_ = b.folder.Close() // it was read alone
	}
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
