package imageservice_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/imageservice"
)

// registry has one image for every name. Like containerd it makes the record of a name
// before it is asked for anything else.
type registry struct {
	store    images.Store
	target   digest.Digest
	pullErr  error
	fetchErr error
	fetched  []*containerd.RemoteContext
}

func (r *registry) record(ctx context.Context, ref string) (images.Image, error) {
	img := images.Image{Name: ref, Target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: r.target, Size: 1}}
	_, err := r.store.Update(ctx, img)
	if errdefs.IsNotFound(err) {
		_, err = r.store.Create(ctx, img)
	}
	return img, err
}

func (r *registry) Pull(ctx context.Context, ref string, _ ...containerd.RemoteOpt) (containerd.Image, error) {
	if r.pullErr != nil {
		return nil, r.pullErr
	}
	img, err := r.record(ctx, ref)
	return containerd.NewImageWithPlatform(nil, img, platforms.All), err
}

func (r *registry) Fetch(ctx context.Context, ref string, opts ...containerd.RemoteOpt) (images.Image, error) {
	c := &containerd.RemoteContext{Unpack: true}
	for _, o := range opts {
		if err := o(nil, c); err != nil {
			return images.Image{}, err
		}
	}
	r.fetched = append(r.fetched, c)
	if r.fetchErr != nil {
		return images.Image{}, r.fetchErr
	}
	return r.record(ctx, ref)
}

func imageStore(t *testing.T) (context.Context, images.Store) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "meta.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return namespaces.WithNamespace(t.Context(), "moby"), metadata.NewImageStore(metadata.NewDB(db, nil, nil))
}

func TestPullComplete(t *testing.T) {
	const ref = "docker.io/library/web:latest"
	older, newer := digest.FromString("older"), digest.FromString("newer")
	failure := errors.New("no route to the registry")
	for _, tc := range []struct {
		name              string
		before            digest.Digest // what the name stood for
		pullErr, fetchErr error
		complete          error
		fetches           int
		err               error
		dangling          bool
	}{
		{name: "complete"},
		{name: "complete again", before: older},
		{name: "pull fails", before: older, pullErr: failure, err: failure},
		{name: "cannot tell", complete: errors.New("containerd is away")},
		{name: "layers are gone", complete: errdefs.ErrNotFound, fetches: 1},
		{name: "layers cannot be fetched", complete: errdefs.ErrNotFound, fetchErr: failure, fetches: 1, err: failure},
		{name: "of a moved name", before: older, complete: errdefs.ErrNotFound, fetchErr: failure, fetches: 1, err: failure, dangling: true},
		{name: "of the same name", before: newer, complete: errdefs.ErrNotFound, fetchErr: failure, fetches: 1, err: failure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, store := imageStore(t)
			r := &registry{store: store, target: newer, pullErr: tc.pullErr, fetchErr: tc.fetchErr}
			if tc.before != "" {
				img := images.Image{Name: ref, Target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: tc.before, Size: 1}}
				if _, err := store.Create(ctx, img); err != nil {
					t.Fatal(err)
				}
			}
			complete := func(context.Context, ocispec.Descriptor) error { return tc.complete }
			img, err := imageservice.CompletePull(r, store, complete)(ctx, ref)
			if !errors.Is(err, tc.err) || (img == nil) != (tc.err != nil) || img != nil && img.Target().Digest != newer {
				t.Errorf("%v: %v", img, err)
			}
			if len(r.fetched) != tc.fetches || slices.ContainsFunc(r.fetched, func(c *containerd.RemoteContext) bool { return c.Unpack || c.PlatformMatcher == nil }) {
				t.Errorf("fetched %+v", r.fetched)
			}
			_, err = store.Get(ctx, compat.DanglingName(older))
			if (err == nil) != tc.dangling || err != nil && !errdefs.IsNotFound(err) {
				t.Errorf("record of the older image: %v, want one: %v", err, tc.dangling)
			}
		})
	}
}
