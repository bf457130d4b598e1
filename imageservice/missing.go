package imageservice

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/bounded"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/baseimage"
)

// missingHint says what helps where containerd lacks what an image consists of.
const missingHint = "pull or load an image that has it, and try again"

// lookupsAtOnce bounds how many blobs are looked up at the same time.
const lookupsAtOnce = 16

// missing returns those of some blobs that containerd does not have: they were
// removed, or containerd has discarded a layer after unpacking it.
func (s *Service) missing(ctx context.Context, blobs []ocispec.Descriptor) ([]digest.Digest, error) {
	var mu sync.Mutex
	var gone []digest.Digest
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(lookupsAtOnce)
	for _, b := range blobs {
		all.Go(func() error {
			_, err := s.content.Info(ctx, b.Digest)
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

// warnMissing logs that an image was made of layers that containerd does not have.
// The answers to `docker commit` and to the builder have no place for it.
func (s *Service) warnMissing(ctx context.Context, made digest.Digest, layers []ocispec.Descriptor) {
	gone, err := s.missing(ctx, layers)
	logger := log.G(ctx).WithField("image", made)
	if err != nil {
		logger.WithError(err).Debug("could not look up the layers of a new image")
	}
	if len(gone) > 0 {
		logger.WithFields(log.Fields{"missing": len(gone), "layers": gone[:min(len(gone), mostShown)]}).
			Warn("the image is made of layers that containerd does not have: it can be run here, but not be saved or pushed; " + missingHint)
	}
}

// missingError says what containerd lacks of an image.
type missingError struct{ platformManifest }

func (e missingError) Error() string {
	more := ""
	if n := len(e.missing) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("containerd does not have blob %s%s of image manifest %s: %s", shown(e.missing[0]), more, shown(e.desc.Digest), missingHint)
}

func (missingError) Unwrap() error { return errdefs.ErrNotFound }

// platformManifest is a manifest of an image, and what of it containerd lacks: the
// manifest itself, or some of its config and layers.
type platformManifest struct {
	desc    ocispec.Descriptor
	missing []digest.Digest
}

// attests reports whether a manifest in an index is no image but tells of one.
func (m platformManifest) attests() bool {
	_, attests := m.desc.Annotations["vnd.docker.reference.type"]
	p := m.desc.Platform
	return attests || p != nil && p.OS == "unknown" && p.Architecture == "unknown"
}

// manifests returns the manifests of an image, each once.
func (s *Service) manifests(ctx context.Context, target ocispec.Descriptor) ([]platformManifest, error) {
	var all []platformManifest
	seen := map[digest.Digest]bool{}
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		index, manifest := images.IsIndexType(desc.MediaType), images.IsManifestType(desc.MediaType)
		if seen[desc.Digest] || !index && !manifest {
			return nil, nil
		}
		seen[desc.Digest] = true
		parts, err := images.Children(ctx, bounded.Image.Provider(s.content), desc)
		switch {
		case errdefs.IsNotFound(err):
			all = append(all, platformManifest{desc, []digest.Digest{desc.Digest}})
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read manifest %s: %w", shown(desc.Digest), err)
		case index:
			return parts, nil
		}
		gone, err := s.missing(ctx, parts)
		all = append(all, platformManifest{desc, gone})
		return nil, err
	}), target)
	return all, err
}

// Complete returns errdefs.ErrNotFound, and what is missing, if containerd does not
// have all of an image that was here once. An image for several platforms is
// complete without those that were never fetched, if there is one that is whole:
// what was unpacked here was fetched. Moby's exporter leaves an incomplete manifest's
// config and layers out of an archive, and says nothing.
func (s *Service) Complete(ctx context.Context, target ocispec.Descriptor) error {
	all, err := s.manifests(ctx, target)
	if err != nil {
		return err
	}
	var whole bool
	var lacking []platformManifest
	for _, m := range all {
		switch {
		case m.attests():
		case len(m.missing) == 0:
			whole = true
		default:
			lacking = append(lacking, m)
		}
	}
	for _, m := range lacking {
		unpacked := m.desc.Digest == target.Digest // there is no other platform
		if !unpacked {
			if unpacked, err = s.unpacked(ctx, m); err != nil {
				return err
			}
		}
		if unpacked {
			return missingError{m}
		}
	}
	if whole || len(lacking) == 0 {
		return nil
	}
	// Rather one of which there is something.
	slices.SortStableFunc(lacking, func(a, b platformManifest) int { return a.absent() - b.absent() })
	return missingError{lacking[0]}
}

// absent is 1 for a manifest that is missing itself, else 0.
func (m platformManifest) absent() int {
	if slices.Contains(m.missing, m.desc.Digest) {
		return 1
	}
	return 0
}

// unpacked reports whether there is a snapshot of an image's manifest. What cannot be
// known, because manifest or config are missing or describe no layers, is not unpacked.
func (s *Service) unpacked(ctx context.Context, m platformManifest) (bool, error) {
	img, err := baseimage.Read(ctx, s.content, m.desc, platforms.DefaultSpec())
	if errdefs.IsUnavailable(err) || ctx.Err() != nil {
		return false, err
	}
	if err != nil {
		return false, nil
	}
	_, err = s.snapshots("").Stat(ctx, identity.ChainID(img.Config.RootFS.DiffIDs).String())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// PushImage sends an image to a registry. It is upstream's, but that its error says
// what is missing. What containerd lacks the registry may have: nothing is looked up
// before.
func (s *Service) PushImage(ctx context.Context, ref reference.Named, options moby.PushOptions) error {
	return s.explain(ctx, "push", s.upstream.PushImage(ctx, ref, options), moby.PlatformList(options.Platforms), ref.String())
}

// explain says of an error because something was not found what of the images is
// missing. It decides nothing: a name that may mean several images is taken for all.
func (s *Service) explain(ctx context.Context, verb string, err error, of []ocispec.Platform, names ...string) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	var known missingError
	if !errors.As(err, &known) {
		lacking := s.lacking(ctx, of, names)
		if lacking == nil {
			return err
		}
		err = fmt.Errorf("%w: %w", err, lacking)
	}
	return compat.DockerError(fmt.Errorf("%s %s: %w", verb, strings.Join(names, ", "), err))
}

// lacking returns a missingError if something of the images of these names is
// missing, for some platforms if there are any.
func (s *Service) lacking(ctx context.Context, of []ocispec.Platform, names []string) error {
	for _, name := range names {
		for _, img := range s.named(ctx, name) {
			all, err := s.manifests(ctx, img.Target)
			if err != nil {
				log.G(ctx).WithError(err).WithField("image", img.Name).Debug("could not look for what is missing of an image")
			}
			for _, m := range all {
				if len(m.missing) > 0 && !m.attests() && s.isFor(ctx, m, of) {
					return missingError{m}
				}
			}
		}
	}
	return nil
}

// isFor reports whether a manifest is for one of some platforms; any is for none.
func (s *Service) isFor(ctx context.Context, m platformManifest, of []ocispec.Platform) bool {
	if len(of) == 0 {
		return true
	}
	is := m.desc.Platform
	if is == nil {
		img, err := baseimage.Read(ctx, s.content, m.desc, of[0])
		if err != nil {
			return true
		}
		is = &img.Config.Platform
	}
	return slices.ContainsFunc(of, func(p ocispec.Platform) bool { return platforms.OnlyStrict(p).Match(*is) })
}

// named are the images that a name may mean: the one, or all of a repository.
func (s *Service) named(ctx context.Context, name string) []images.Image {
	var found []images.Image
	if img, err := s.upstream.ResolveImage(ctx, name); err == nil {
		found = append(found, img)
	}
	if ref, err := reference.ParseNormalizedNamed(name); err == nil && reference.IsNameOnly(ref) {
		tags, err := s.images.List(ctx, fmt.Sprintf("name~=%q", "^"+regexp.QuoteMeta(ref.Name())+":"))
		if err == nil {
			found = append(found, tags...)
		}
	}
	return found
}
