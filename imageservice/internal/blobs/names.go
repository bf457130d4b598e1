package blobs

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
	"google.golang.org/grpc"
)

// folder is where containerd keeps blobs.
type folder struct {
	mu   sync.Mutex
	path string // "" as long as it is not known
	// sharing is the policy by which containerd takes blobs of other namespaces.
	sharing string
}

// Names puts the names of blobs on disk. containerd syncs what a blob holds and
// then gives it its name, but does not sync the folder with the names: its records
// outlive a power cut, and the last blobs that they tell of do not.
type Names struct{ folder *os.File } // nil if they are in no folder of this machine

// Names is asked for before the first blob is written that it is to be for: who
// opens the folder later may not hear that names were lost. The caller closes it.
//
// A content store that is not in a folder of this machine has to care for that
// itself.
func (s *Store) Names(ctx context.Context) (*Names, error) {
	path, err := s.folderPath(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the folder of blobs: %w", err)
	}
	if path == "" {
		return &Names{}, nil
	}
	folder, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithField("folder", path).Debug("the folder of blobs is not here: their names are not synced")
		return &Names{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the folder of blobs: %w", err)
	}
	return &Names{folder}, nil
}

// Sync puts all names on disk.
func (n *Names) Sync() error {
	if n.folder == nil {
		return nil
	}
	if err := n.folder.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", n.folder.Name(), err)
	}
	return nil
}

// Close closes the folder.
func (n *Names) Close() {
	if n.folder != nil {
		_ = n.folder.Close() // it was read alone
	}
}

// folderPath asks containerd once where the blobs are. It returns "" if they are
// in no folder.
func (s *Store) folderPath(ctx context.Context) (string, error) {
	s.folder.mu.Lock()
	defer s.folder.mu.Unlock()
	if s.folder.path != "" {
		return s.folder.path, nil
	}
	if conn, ok := s.client.Conn().(*grpc.ClientConn); ok && conn == nil { // all stores are in this process
		return "", nil
	}
	found, err := s.client.IntrospectionService().Plugins(ctx, "type=="+plugins.ContentPlugin.String(), "type=="+plugins.MetadataPlugin.String())
	if err != nil {
		return "", err
	}
	for _, p := range found.Plugins {
		if policy := p.Exports["policy"]; policy != "" {
			s.folder.sharing = policy
		}
		if root := p.Exports["root"]; root != "" {
			s.folder.path = filepath.Join(root, "blobs", digest.Canonical.String())
		}
	}
	return s.folder.path, nil
}

// sharingPolicy is what containerd has told of it by the time that its folder is known.
func (s *Store) sharingPolicy() string {
	s.folder.mu.Lock()
	defer s.folder.mu.Unlock()
	return s.folder.sharing
}
