package snapshotter_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/diff/tarlayer"
	"github.com/baleen-project/baleen/snapshotter"
)

// blobs are layers with their compressed bytes.
type blobs struct {
	layers []diff.Layer
	bytes  map[digest.Digest][]byte
	opened atomic.Int32
}

// chainOf makes a layer of each list of names; a name with "=" is a file with
// content, one with "/" at the end a directory.
func chainOf(t *testing.T, layers ...[]string) *blobs {
	t.Helper()
	b := &blobs{bytes: map[digest.Digest][]byte{}}
	for i, names := range layers {
		var plain, blob bytes.Buffer
		tw := tar.NewWriter(&plain)
		for _, file := range names {
			name, body, _ := strings.Cut(file, "=")
			hdr := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(body))}
			check(t, tw.WriteHeader(hdr))
			_, err := io.WriteString(tw, body)
			check(t, err)
		}
		check(t, tw.Close())
		lw, err := tarlayer.NewWriter(&blob, []compress.Method{{}, {Kind: compress.Zstd}, {Kind: compress.Uncompressed}}[i%3])
		check(t, err)
		_, err = lw.Write(plain.Bytes())
		check(t, err, lw.Close())
		b.layers = append(b.layers, lw.Layer())
		b.bytes[lw.Layer().Blob.Digest] = blob.Bytes()
	}
	return b
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func (b *blobs) fetch(_ context.Context, blob ocispec.Descriptor) (io.ReadCloser, error) {
	b.opened.Add(1)
	data, ok := b.bytes[blob.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// chainID is the name of the snapshot of the first n layers.
func (b *blobs) chainID(n int) digest.Digest {
	var ids []digest.Digest
	for _, l := range b.layers[:n] {
		ids = append(ids, l.DiffID)
	}
	return identity.ChainID(ids)
}

// eachSnapshotter runs a test on containerd's own snapshotters, and checks that
// no active snapshot is left.
//
// It does so with one layer at a time and with several; twice says that then
// work is done twice.
func eachSnapshotter(t *testing.T, test func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool)) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	for name, open := range map[string]func(root string) (snapshots.Snapshotter, error){
		"overlay": func(root string) (snapshots.Snapshotter, error) { return overlay.NewSnapshotter(root) },
		"native":  native.NewSnapshotter,
		// An option that is not known makes us mount it and unpack merged.
		"mounted": func(root string) (snapshots.Snapshotter, error) {
			sn, err := overlay.NewSnapshotter(root)
			return &withOption{sn, "nodev"}, err
		},
	} {
		for _, atOnce := range []int{0, 3} {
			t.Run(fmt.Sprint(name, " ", atOnce), func(t *testing.T) {
				sn, err := open(filepath.Join(t.TempDir(), "sn"))
				check(t, err)
				defer sn.Close()
				test(t, sn, snapshotter.ChainOptions{AtOnce: atOnce}, atOnce > 1 && name != "overlay")
				err = sn.Walk(t.Context(), func(_ context.Context, info snapshots.Info) error {
					if info.Kind != snapshots.KindCommitted {
						t.Errorf("snapshot %s is left", info.Name)
					}
					return nil
				})
				if !errdefs.IsNotFound(err) { // so if there never was a snapshot
					check(t, err)
				}
			})
		}
	}
}

// withOption adds an option to the mounts of active snapshots.
type withOption struct {
	snapshots.Snapshotter
	option string
}

func (w *withOption) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	mounts, err := w.Snapshotter.Prepare(ctx, key, parent, opts...)
	for i := range mounts {
		if mounts[i].Type == "overlay" {
			mounts[i].Options = append(mounts[i].Options, w.option)
		}
	}
	return mounts, err
}

// files lists what a snapshot shows.
func files(t *testing.T, sn snapshots.Snapshotter, name digest.Digest) string {
	t.Helper()
	key := t.Name() + "-view"
	mounts, err := sn.View(t.Context(), key, name.String())
	check(t, err)
	var all []string
	err = mount.WithReadonlyTempMount(t.Context(), mounts, func(root string) error {
		return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if d.Type().IsRegular() {
				body, err := os.ReadFile(path)
				check(t, err)
				name += "=" + string(body)
			}
			all = append(all, name)
			return nil
		})
	})
	check(t, err, sn.Remove(t.Context(), key))
	slices.Sort(all)
	return strings.Join(all, " ")
}

var threeLayers = [][]string{
	{"a/", "a/one=1", "a/two=2", "f=f"},
	{"a/.wh.one", "b/", "b/x=x", "f=changed"},
	{".wh.b", "a/.wh..wh..opq", "a/new=n"},
}

func TestApplyLayers(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
		b := chainOf(t, threeLayers...)
		label := snapshots.WithLabels(map[string]string{"kept": "yes"})
		opts.Snapshot = []snapshots.Opt{label}
		got, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, opts)
		check(t, err)
		if got != b.chainID(3) {
			t.Errorf("chainID is %s, want %s", got, b.chainID(3))
		}
		for n, want := range []string{"a a/one=1 a/two=2 f=f", "a a/two=2 b b/x=x f=changed", "a a/new=n f=changed"} {
			if got := files(t, sn, b.chainID(n+1)); got != want {
				t.Errorf("after %d layers there are %s, want %s", n+1, got, want)
			}
			if info, err := sn.Stat(t.Context(), b.chainID(n+1).String()); err != nil || info.Labels["kept"] != "yes" {
				t.Errorf("snapshot %d is %+v, %v", n+1, info, err)
			}
		}
	})
}

// TestApplyLayersThatNeedThoseBelow: to tell what a layer leaves out, what is
// below it has to be looked at, which may take its time.
func TestApplyLayersThatNeedThoseBelow(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, _ bool) {
		b := chainOf(t, []string{"a/", "a/one=1", "c/", "c/c=c"}, []string{"a/two=2"}, []string{".wh..wh..opq", "b=b"}, []string{"a/three=3"}, []string{"a/four=4"})
		slow := func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
			if d.Digest == b.layers[0].Blob.Digest || d.Digest == b.layers[3].Blob.Digest {
				time.Sleep(50 * time.Millisecond)
			}
			return b.fetch(ctx, d)
		}
		_, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, slow, opts)
		check(t, err)
		for n, want := range []string{"a a/one=1 c c/c=c", "a a/one=1 a/two=2 c c/c=c", "b=b", "a a/three=3 b=b", "a a/four=4 a/three=3 b=b"} {
			if got := files(t, sn, b.chainID(n+1)); got != want {
				t.Errorf("after %d layers there are %s, want %s", n+1, got, want)
			}
		}
	})
}

// TestApplyLayersDeletesNothingInTheLowest: what a layer deletes that has none
// below it was never there, and leaves no mark that a view of it alone shows.
func TestApplyLayersDeletesNothingInTheLowest(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, _ bool) {
		b := chainOf(t, []string{"a/", "a/.wh.one", "a/two=2", ".wh.b", "c/", "c/.wh..wh..opq", "c/c=c"}, []string{"f=f"})
		_, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, opts)
		check(t, err)
		for n, want := range []string{"a a/two=2 c c/c=c", "a a/two=2 c c/c=c f=f"} {
			if got := files(t, sn, b.chainID(n+1)); got != want {
				t.Errorf("after %d layers there are %s, want %s", n+1, got, want)
			}
		}
	})
}

func TestApplyLayersKeepsWhatExists(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
		b := chainOf(t, threeLayers...)
		for _, c := range []struct {
			layers int
			opened int32 // altogether
		}{{1, 1}, {3, 3}, {3, 3}, {2, 3}} {
			_, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers[:c.layers], b.fetch, opts)
			check(t, err)
			if got := b.opened.Load(); got != c.opened && !twice {
				t.Errorf("after %d layers %d blobs were read, want %d", c.layers, got, c.opened)
			}
		}
	})
}

func TestApplyLayersAtTheSameTime(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
		b := chainOf(t, threeLayers...)
		var group sync.WaitGroup
		for range 8 {
			group.Add(1)
			go func() {
				defer group.Done()
				if _, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, opts); err != nil {
					t.Error(err)
				}
			}()
		}
		group.Wait()
		if got := b.opened.Load(); got != 3 && !twice {
			t.Errorf("%d blobs were read, want 3", got)
		}
	})
}

func TestApplyLayersFails(t *testing.T) {
	broken := errors.New("line broken")
	for name, c := range map[string]struct {
		change func(b *blobs)
		want   func(error) bool
	}{
		"no blob": {func(b *blobs) { clear(b.bytes) }, errdefs.IsNotFound},
		"other content": {func(b *blobs) {
			b.bytes[b.layers[1].Blob.Digest] = b.bytes[b.layers[0].Blob.Digest]
		}, errdefs.IsDataLoss},
		"cut": {func(b *blobs) {
			d := b.layers[1].Blob.Digest
			b.bytes[d] = b.bytes[d][:len(b.bytes[d])-3]
		}, errdefs.IsInvalidArgument},
		"nothing": {func(b *blobs) { b.layers = nil }, errdefs.IsInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
				b := chainOf(t, threeLayers...)
				c.change(b)
				if _, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, opts); !c.want(err) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
	t.Run("fetching", func(t *testing.T) {
		eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
			b := chainOf(t, threeLayers...)
			ctx, cancel := context.WithCancel(t.Context())
			fetch := func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
				if d.Digest == b.layers[1].Blob.Digest {
					cancel()
					return nil, broken
				}
				return b.fetch(ctx, d)
			}
			if _, err := snapshotter.ApplyLayers(ctx, sn, b.layers, fetch, opts); !errors.Is(err, broken) && (opts.AtOnce == 0 || !errors.Is(err, context.Canceled)) {
				t.Errorf("got %v", err)
			}
			// The first layer is whole, and of use to the next attempt.
			if _, err := sn.Stat(t.Context(), b.chainID(1).String()); err != nil && opts.AtOnce == 0 {
				t.Errorf("the first layer: %v", err)
			}
			_, err := snapshotter.ApplyLayers(t.Context(), sn, b.layers, b.fetch, opts)
			check(t, err)
		})
	})
}

// TestApplyLayersCopiesOnce: a snapshotter without folders to exchange copies all
// that is below for each snapshot. That it has none is found out once.
func TestApplyLayersCopiesOnce(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, _ bool) {
		b := chainOf(t, []string{"a=1"}, []string{"a=2"}, []string{"a=3"}, []string{"a=4"}, []string{"a=5"}, []string{"a=6"})
		counting := &copies{Snapshotter: sn}
		_, err := snapshotter.ApplyLayers(t.Context(), counting, b.layers, b.fetch, opts)
		check(t, err)
		if n := counting.n.Load(); n > 6 {
			t.Errorf("on others %d snapshots were prepared, for 5 layers", n)
		}
		if got := files(t, sn, b.chainID(6)); got != "a=6" {
			t.Errorf("there are %s", got)
		}
	})
}

// copies counts the snapshots that are prepared on others.
type copies struct {
	snapshots.Snapshotter
	n atomic.Int32
}

func (c *copies) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	if parent != "" {
		c.n.Add(1)
	}
	return c.Snapshotter.Prepare(ctx, key, parent, opts...)
}

// racing lets somebody else commit first.
type racing struct {
	snapshots.Snapshotter
	before  func(name string) error // a commit
	refused atomic.Int32            // how many Prepares shall be
}

func (r *racing) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	if r.refused.Add(-1) >= 0 {
		return nil, errdefs.ErrAlreadyExists
	}
	return r.Snapshotter.Prepare(ctx, key, parent, opts...)
}

func (r *racing) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	if err := r.before(name); err != nil {
		return err
	}
	return r.Snapshotter.Commit(ctx, name, key, opts...)
}

func TestApplyLayersBesidesOthers(t *testing.T) {
	eachSnapshotter(t, func(t *testing.T, sn snapshots.Snapshotter, opts snapshotter.ChainOptions, twice bool) {
		b := chainOf(t, threeLayers...)
		others := &racing{Snapshotter: sn, before: func(name string) error {
			if name != b.chainID(2).String() {
				return nil
			}
			if _, err := sn.Prepare(t.Context(), "other", b.chainID(1).String()); err != nil {
				return err
			}
			return sn.Commit(t.Context(), name, "other")
		}}
		others.refused.Store(2)
		_, err := snapshotter.ApplyLayers(t.Context(), others, b.layers, b.fetch, opts)
		check(t, err)
		// For ever in somebody's hands:
		others.refused.Store(1000)
		more := chainOf(t, []string{"z=z"})
		if _, err := snapshotter.ApplyLayers(t.Context(), others, more.layers, more.fetch, opts); !errdefs.IsAlreadyExists(err) {
			t.Errorf("got %v", err)
		}
	})
}
