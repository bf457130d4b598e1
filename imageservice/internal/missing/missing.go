// Package missing finds what containerd lacks of an image.
package missing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/containerstore/baseimage"
)

// Hint says what helps where containerd lacks what an image consists of.
const Hint = "pull or load an image that has it, and try again"

// lookupsAtOnce bounds how many blobs are looked up at the same time.
const lookupsAtOnce = 16

// Blobs returns those of some blobs that containerd does not have: they were
// removed, or containerd has discarded a layer after unpacking it.
func Blobs(ctx context.Context, store content.Store, blobs []ocispec.Descriptor) ([]digest.Digest, error) {
	var mu sync.Mutex
	var gone []digest.Digest
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(lookupsAtOnce)
	for _, b := range blobs {
		all.Go(func() error {
			_, err := store.Info(ctx, b.Digest)
			if errdefs.IsNotFound(err) {
				mu.Lock()
				defer mu.Unlock()
				gone = append(gone, b.Digest)
				return nil
			}
			if err != nil {
				return fmt.Errorf("look up blob %s: %w", shown(b.Digest), err)
			}
			return nil
		})
	}
	err := all.Wait()
	slices.Sort(gone)
	return gone, err
}

// shown is a digest that somebody else wrote, as text for a terminal.
func shown(d digest.Digest) string {
	if d.Validate() != nil {
		return strconv.Quote(d.String())
	}
	return d.String()
}

// mostShown bounds the blobs that a text names.
const mostShown = 10

// Warn logs that an image was made of layers that containerd does not have.
// The answers to `docker commit` and to the builder have no place for it.
func Warn(ctx context.Context, store content.Store, made digest.Digest, layers []ocispec.Descriptor) {
	gone, err := Blobs(ctx, store, layers)
	logger := log.G(ctx).WithField("image", made)
	if err != nil {
		logger.WithError(err).Debug("could not look up the layers of a new image")
	}
	if len(gone) > 0 {
		logger.WithFields(log.Fields{"missing": len(gone), "layers": gone[:min(len(gone), mostShown)]}).
			Warn("the image is made of layers that containerd does not have: it can be run here, but not be saved or pushed; " + Hint)
	}
}

// Error says what containerd lacks of an image.
type Error struct{ Manifest }

func (e Error) Error() string {
	more := ""
	if n := len(e.Missing) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("containerd does not have blob %s%s of image manifest %s: %s", shown(e.Missing[0]), more, shown(e.Desc.Digest), Hint)
}

func (Error) Unwrap() error { return errdefs.ErrNotFound }

// Manifest is a manifest of an image, and what of it containerd lacks: the
// manifest itself, or some of its config and layers.
type Manifest struct {
	Desc    ocispec.Descriptor
	Missing []digest.Digest
}

// Attests reports whether a manifest in an index is no image but tells of one.
func (m Manifest) Attests() bool {
	_, attests := m.Desc.Annotations["vnd.docker.reference.type"]
	p := m.Desc.Platform
	return attests || p != nil && p.OS == "unknown" && p.Architecture == "unknown"
}

// Manifests returns the manifests of an image, each once.
func Manifests(ctx context.Context, store content.Store, target ocispec.Descriptor) ([]Manifest, error) {
	var all []Manifest
	seen := map[digest.Digest]bool{}
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		index, manifest := images.IsIndexType(desc.MediaType), images.IsManifestType(desc.MediaType)
		if seen[desc.Digest] || !index && !manifest {
			return nil, nil
		}
		seen[desc.Digest] = true
		parts, err := images.Children(ctx, bounded.Image.Provider(store), desc)
		switch {
		case errdefs.IsNotFound(err):
			all = append(all, Manifest{desc, []digest.Digest{desc.Digest}})
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read manifest %s: %w", shown(desc.Digest), err)
		case index:
			return parts, nil
		}
		gone, err := Blobs(ctx, store, parts)
		all = append(all, Manifest{desc, gone})
		return nil, err
	}), target)
	return all, err
}

// Complete returns errdefs.ErrNotFound, and what is missing, if containerd does not
// have all of an image that was here once. An image for several platforms is
// complete without those that were never fetched, if there is one that is whole:
// what was unpacked here was fetched. Moby's exporter leaves an incomplete manifest's
// config and layers out of an archive, and says nothing.
func Complete(ctx context.Context, store content.Store, sn snapshots.Snapshotter, target ocispec.Descriptor) error {
	all, err := Manifests(ctx, store, target)
	if err != nil {
		return err
	}
	var whole bool
	var lacking []Manifest
	for _, m := range all {
		switch {
		case m.Attests():
		case len(m.Missing) == 0:
			whole = true
		default:
			lacking = append(lacking, m)
		}
	}
	for _, m := range lacking {
		unpacked := m.Desc.Digest == target.Digest // there is no other platform
		if !unpacked {
			if unpacked, err = isUnpacked(ctx, store, sn, m); err != nil {
				return err
			}
		}
		if unpacked {
			return Error{m}
		}
	}
	if whole || len(lacking) == 0 {
		return nil
	}
	// Rather one of which there is something.
	slices.SortStableFunc(lacking, func(a, b Manifest) int { return a.absent() - b.absent() })
	return Error{lacking[0]}
}

// absent is 1 for a manifest that is missing itself, else 0.
func (m Manifest) absent() int {
	if slices.Contains(m.Missing, m.Desc.Digest) {
		return 1
	}
	return 0
}

// isUnpacked reports whether there is a snapshot of an image's manifest. What cannot be
// known, because manifest or config are missing or describe no layers, is not unpacked.
func isUnpacked(ctx context.Context, store content.Store, sn snapshots.Snapshotter, m Manifest) (bool, error) {
	img, err := baseimage.Read(ctx, store, m.Desc, platforms.DefaultSpec())
	if errdefs.IsUnavailable(err) || ctx.Err() != nil {
		return false, err
	}
	if err != nil {
		return false, nil
	}
	_, err = sn.Stat(ctx, identity.ChainID(img.Config.RootFS.DiffIDs).String())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// IsFor reports whether a manifest is for one of some platforms; any is for none.
func (m Manifest) IsFor(ctx context.Context, store content.Store, of []ocispec.Platform) bool {
	if len(of) == 0 {
		return true
	}
	is := m.Desc.Platform
	if is == nil {
		img, err := baseimage.Read(ctx, store, m.Desc, of[0])
		if err != nil {
			return true
		}
		is = &img.Config.Platform
	}
	return slices.ContainsFunc(of, func(p ocispec.Platform) bool { return platforms.OnlyStrict(p).Match(*is) })
}
