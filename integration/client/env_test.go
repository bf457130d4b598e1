package client_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/clientopts"
	"github.com/baleen-project/baleen/integration/harness"
)

// plainEnv is a namespace of a containerd without Docker.
type plainEnv struct {
	client      *containerd.Client
	ctx         context.Context
	snapshotter string
}

func newPlainEnv(t *testing.T, address, namespace, snapshotterName string) *plainEnv {
	t.Helper()
	client, err := containerd.New(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	// Clean-up uses it too.
	ctx := namespaces.WithNamespace(context.WithoutCancel(t.Context()), namespace)
	return &plainEnv{client: client, ctx: ctx, snapshotter: snapshotterName}
}

// image makes an image of layers, which are files by name; "-" deletes one.
func (e *plainEnv) image(t *testing.T, name string, config ocispec.ImageConfig, layers ...files) containerd.Image {
	t.Helper()
	return e.imageOn(t, name, nil, config, layers...)
}

// imageOn makes an image of layers on top of another one's.
func (e *plainEnv) imageOn(t *testing.T, name string, base containerd.Image, config ocispec.ImageConfig, layers ...files) containerd.Image {
	t.Helper()
	tars := make([][]byte, len(layers))
	for n, files := range layers {
		tars[n] = layerOf(t, files)
	}
	return e.imageOfTars(t, name, base, config, tars...)
}

// imageOfTars makes an image of layers on top of another one's, if there is one.
func (e *plainEnv) imageOfTars(t *testing.T, name string, base containerd.Image, config ocispec.ImageConfig, layers ...[]byte) containerd.Image {
	t.Helper()
	ctx, done, err := e.client.WithLease(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := done(e.ctx); err != nil {
			t.Error(err)
		}
	}()
	refs := map[string]string{}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	c := ocispec.Image{Platform: platforms.DefaultSpec(), Config: config, RootFS: ocispec.RootFS{Type: "layers"}}
	if base != nil {
		below, err := images.Manifest(ctx, e.client.ContentStore(), base.Target(), platforms.Default())
		if err != nil {
			t.Fatal(err)
		}
		m.Layers = below.Layers
		if c.RootFS.DiffIDs, err = base.RootFS(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, layer := range layers {
		d := e.blob(t, ctx, ocispec.MediaTypeImageLayer, layer, nil)
		m.Layers, c.RootFS.DiffIDs = append(m.Layers, d), append(c.RootFS.DiffIDs, d.Digest)
	}
	for n, d := range m.Layers {
		refs[fmt.Sprint("containerd.io/gc.ref.content.l.", n)] = d.Digest.String()
	}
	m.Config = e.blob(t, ctx, ocispec.MediaTypeImageConfig, encode(t, c), nil)
	refs["containerd.io/gc.ref.content.config"] = m.Config.Digest.String()
	target := e.blob(t, ctx, m.MediaType, encode(t, m), refs)
	record, err := e.client.ImageService().Create(ctx, images.Image{Name: name, Target: target})
	if errdefs.IsAlreadyExists(err) {
		record, err = e.client.ImageService().Update(ctx, images.Image{Name: name, Target: target})
	}
	if err != nil {
		t.Fatal(err)
	}
	return containerd.NewImage(e.client, record)
}

func (e *plainEnv) blob(t *testing.T, ctx context.Context, mediaType string, data []byte, labels map[string]string) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(ctx, e.client.ContentStore(), d.Digest.String(), bytes.NewReader(data), d, content.WithLabels(labels)); err != nil {
		t.Fatal(err)
	}
	return d
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func layerOf(t *testing.T, files files) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if text == "-" {
			name, text = filepath.Join(filepath.Dir(name), ".wh."+filepath.Base(name)), ""
		}
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plainCtr is a container of a plainEnv.
type plainCtr struct {
	*plainEnv
	containerd.Container
}

// create makes a container with our options. It is deleted after the test, and
// then nothing of it may be left.
func (e *plainEnv) create(t *testing.T, id string, image containerd.Image, args ...string) *plainCtr {
	t.Helper()
	spec := []oci.SpecOpts{oci.WithImageConfigArgs(image, args)}
	c, err := e.client.NewContainer(e.ctx, id, containerd.WithSnapshotter(e.snapshotter),
		clientopts.WithNewSnapshot(image), containerd.WithNewSpec(spec...))
	if err != nil {
		t.Fatal(err)
	}
	k := &plainCtr{e, c}
	t.Cleanup(func() {
		if _, err := e.client.LoadContainer(e.ctx, id); errdefs.IsNotFound(err) {
			return
		}
		if err := c.Delete(e.ctx, clientopts.WithRevisionCleanup); err != nil {
			t.Error(err)
		}
		e.nothingOf(t, id)
	})
	return k
}

func (e *plainEnv) nothingOf(t *testing.T, id string) {
	t.Helper()
	for _, name := range e.snapshots(t) {
		if strings.HasPrefix(name, id) {
			t.Errorf("snapshot %s outlives its container", name)
		}
	}
}

// snapshots are the names of all.
func (e *plainEnv) snapshots(t *testing.T) (names []string) {
	t.Helper()
	return harness.SnapshotNames(e.ctx, t, e.client.SnapshotService(e.snapshotter))
}

// collect has containerd collect garbage, and waits for it.
func (e *plainEnv) collect(t *testing.T) {
	t.Helper()
	l, err := e.client.LeasesService().Create(e.ctx, leases.WithRandomID())
	if err == nil {
		err = e.client.LeasesService().Delete(e.ctx, l, leases.SynchronousDelete)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// left is all that there is of leases, snapshots and ingests, and how many blobs:
// a record that is written anew is another one. A revision that has been sealed
// is still the same.
func (e *plainEnv) left(t *testing.T) []string {
	t.Helper()
	all := e.snapshots(t)
	for n, name := range all {
		all[n] = strings.Replace(name, ":r", ":", 1)
	}
	held, err := e.client.LeasesService().List(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range held {
		all = append(all, "lease "+l.ID)
	}
	blobs := 0
	err = e.client.ContentStore().Walk(e.ctx, func(content.Info) error { blobs++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	statuses, err := e.client.ContentStore().ListStatuses(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		all = append(all, "ingest "+s.Ref)
	}
	slices.Sort(all)
	return append(all, fmt.Sprint(blobs, " blobs"))
}

// snapshot is what the container is on.
func (k *plainCtr) snapshot(t *testing.T) snapshots.Info {
	t.Helper()
	info, err := k.Info(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := k.client.SnapshotService(info.Snapshotter).Stat(k.ctx, info.SnapshotKey)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// mounts are those of the snapshot that the container is on.
func (k *plainCtr) mounts(t *testing.T) []mount.Mount {
	t.Helper()
	info, err := k.Info(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := k.client.SnapshotService(info.Snapshotter).Mounts(k.ctx, info.SnapshotKey)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

// do changes the container's files.
func (k *plainCtr) do(t *testing.T, f func(root string)) {
	t.Helper()
	if err := mount.WithTempMount(k.ctx, k.mounts(t), func(root string) error { f(root); return nil }); err != nil {
		t.Fatal(err)
	}
}

func (k *plainCtr) write(t *testing.T, name, text string) {
	t.Helper()
	k.do(t, func(root string) { harness.WriteFile(t, filepath.Join(root, name), text) })
}

// must checks the container's files, after containerd has collected garbage.
func (k *plainCtr) must(t *testing.T, want files) {
	t.Helper()
	if got := k.has(t); !maps.Equal(got, want) {
		t.Errorf("the container has %v, want %v", got, want)
	}
}

// has are the container's files, after containerd has collected garbage.
func (k *plainCtr) has(t *testing.T) files {
	t.Helper()
	k.collect(t)
	got := files{}
	k.do(t, func(root string) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			got[strings.TrimPrefix(path, root+"/")] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return got
}

func (k *plainCtr) upgrade(t *testing.T, to containerd.Image, opts ...clientopts.UpgradeOpt) {
	t.Helper()
	if err := k.Update(k.ctx, clientopts.WithUpgrade(to, opts...)); err != nil {
		t.Fatal(err)
	}
}

func (k *plainCtr) rollback(t *testing.T, opts ...clientopts.RollbackOpt) {
	t.Helper()
	if err := k.Update(k.ctx, clientopts.WithRollback(opts...)); err != nil {
		t.Fatal(err)
	}
}

// listed checks the revisions: each as number<previous and image, with a star on
// the current one.
func (k *plainCtr) listed(t *testing.T, want string) {
	t.Helper()
	all, err := clientopts.Revisions(k.ctx, k.client, k.ID())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, r := range all {
		text := fmt.Sprint(r.Number, "<", r.Previous, " ", r.Image)
		if r.Current {
			text += "*"
		}
		told = append(told, text)
	}
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("the revisions are %s, want %s", got, want)
	}
}

func (k *plainCtr) imageIs(t *testing.T, want string) {
	t.Helper()
	info, err := k.Info(k.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.Image != want {
		t.Errorf("the container's image is %s, want %s", info.Image, want)
	}
}
