package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is the folder of a registry: blobs by digest, and per repository links to
// its blobs, its manifests and its tags, in the layout of the distribution project's
// storage (package registry/storage, paths.go). The registry has to be pushed to
// otherwise, which takes a client and seconds.
type store string

func (s store) path(elem ...string) string {
	return filepath.Join(append([]string{string(s), "docker", "registry", "v2"}, elem...)...)
}

// blob writes a blob that is in those repositories.
func (s store) blob(mediaType string, content []byte, repositories ...string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	hex := desc.Digest.Encoded()
	if err := write(s.path("blobs", "sha256", hex[:2], hex, "data"), content); err != nil {
		return desc, err
	}
	for _, repository := range repositories {
		if err := s.link(desc.Digest, "repositories", repository, "_layers", "sha256", hex); err != nil {
			return desc, err
		}
	}
	return desc, nil
}

// config writes a blob of JSON.
func (s store) config(mediaType string, of any, repositories ...string) (ocispec.Descriptor, error) {
	text, err := json.Marshal(of)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("write store: %w", err)
	}
	return s.blob(mediaType, text, repositories...)
}

// manifest writes a manifest or an index.
func (s store) manifest(mediaType string, of any, repositories ...string) (ocispec.Descriptor, error) {
	desc, err := s.config(mediaType, of)
	if err != nil {
		return desc, err
	}
	for _, repository := range repositories {
		if err := s.link(desc.Digest, "repositories", repository, "_manifests", "revisions", "sha256", desc.Digest.Encoded()); err != nil {
			return desc, err
		}
	}
	return desc, nil
}

// tag names a manifest.
func (s store) tag(repository, tag string, d digest.Digest) error {
	dir := filepath.Join("repositories", repository, "_manifests", "tags", tag)
	if err := s.link(d, dir, "index", "sha256", d.Encoded()); err != nil {
		return err
	}
	return s.link(d, dir, "current")
}

func (s store) link(d digest.Digest, elem ...string) error {
	return write(filepath.Join(s.path(elem...), "link"), []byte(d))
}

// write puts a file where none of the same content is, all at once: the registry of
// another run may serve from the folder.
func write(path string, content []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
