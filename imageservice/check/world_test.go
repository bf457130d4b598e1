package check_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/integration/soak/mountns"
	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// TestMain gives the tests a mount namespace, for what they mount.
func TestMain(m *testing.M) {
	_ = log.SetLevel("error") // a service that is made asks containerd without a namespace
	mountns.Main(m.Run)
}

const (
	owner  = "daemon"
	driver = "overlayfs"
)

// world is an image service on containerd's own metadata, content store and a
// snapshotter, all in this process, with the containers of a daemon.
type world struct {
	ctx       context.Context
	db        *metadata.DB
	service   *imageservice.Service
	snapshots snapshots.Snapshotter
	leases    leases.Manager
	images    images.Store
	content   content.Store
	onHold    func() error // is called before a lease is to hold a resource, if it is set
	folder    string       // of containers
	roots     string
	temp      string
	manifest  ocispec.Descriptor // of an image of one layer
	blobs     map[string]digest.Digest

	open func(string) (snapshots.Snapshotter, error)

	mu  sync.Mutex
	all map[string]*moby.Container
}

// eachSnapshotter runs a test on a snapshotter whose snapshots are stacks of folders,
// and on one whose snapshots are whole copies.
func eachSnapshotter(t *testing.T, test func(t *testing.T, w *world)) {
	if os.Getuid() != 0 {
		t.Skip("snapshots are root's")
	}
	for name, open := range map[string]func(string) (snapshots.Snapshotter, error){
		"overlay": func(root string) (snapshots.Snapshotter, error) { return overlay.New(root) },
		"native":  native.NewSnapshotter,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open)) })
	}
}

func newWorld(t *testing.T, open func(string) (snapshots.Snapshotter, error)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		open: open,
		ctx:  namespaces.WithNamespace(t.Context(), "moby"), all: map[string]*moby.Container{}, blobs: map[string]digest.Digest{},
		folder: filepath.Join(dir, "containers"), roots: filepath.Join(dir, "rootfs"), temp: filepath.Join(dir, "temp"),
	}
	for _, folder := range []string{w.folder, w.roots} {
		must(t, os.Mkdir(folder, 0o700))
	}
	sn, err := open(filepath.Join(dir, "snapshots"))
	must(t, err)
	store, err := local.NewStore(filepath.Join(dir, "content"))
	must(t, err)
	bdb, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bolt.Options{NoSync: true})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(sn.Close(), bdb.Close())) })
	w.db = metadata.NewDB(bdb, store, map[string]snapshots.Snapshotter{driver: sn})
	must(t, w.db.Init(w.ctx))
	w.snapshots, w.content, w.images, w.leases = w.db.Snapshotter(driver), w.db.ContentStore(), metadata.NewImageStore(w.db), metadata.NewLeaseManager(w.db)
	client, err := containerd.New("", containerd.WithServices(
		containerd.WithSnapshotters(map[string]snapshots.Snapshotter{driver: w.snapshots}), containerd.WithContentStore(w.content),
		containerd.WithImageStore(w.images), containerd.WithLeasesService(manager{w.leases, w}), containerd.WithTaskClient(noTasks{}), containerd.WithDiffService(nil),
	))
	must(t, err)
	w.service = imageservice.New(imageservice.Config{
		Client: client, Containers: w, Snapshotter: driver, Owner: owner, Mounter: w, Roots: w.roots, Events: w, TempMounts: w.temp,
		Thaw: func(context.Context, string) error { return errdefs.ErrNotFound },
	})
	t.Cleanup(func() { must(t, mount.SetTempMountLocation(os.TempDir())) })
	w.image(t)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// manager is what the service has of containerd's leases.
type manager struct {
	leases.Manager
	w *world
}

func (m manager) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	if m.w.onHold != nil {
		if err := m.w.onHold(); err != nil {
			return err
		}
	}
	return m.Manager.AddResource(ctx, l, r)
}

// Delete collects garbage if that is asked for, as containerd does.
func (m manager) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	var o leases.DeleteOptions
	for _, opt := range opts {
		if err := opt(ctx, &o); err != nil {
			return err
		}
	}
	if err := m.Manager.Delete(ctx, l); err != nil || !o.Synchronous {
		return err
	}
	_, err := m.w.db.GarbageCollect(ctx)
	return err
}

// noTasks is a containerd in which no process runs.
type noTasks struct{ tasks.TasksClient }

func (noTasks) Get(context.Context, *tasks.GetRequest, ...grpc.CallOption) (*tasks.GetResponse, error) {
	return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
}

func (w *world) Get(id string) *moby.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[id]
}

func (w *world) List() (list []*moby.Container) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		list = append(list, c)
	}
	return list
}

func (w *world) Log(moby.EventAction, moby.EventType, moby.EventActor) {}

// The roots of containers are not mounted here, but a test says where they are.

func (w *world) Mount(_ []mount.Mount, id string) (string, error) {
	return filepath.Join(w.roots, id), nil
}
func (w *world) Unmount(string) error           { return nil }
func (w *world) Mounted(string) (string, error) { return "", nil }

// image makes an image of one layer that is unpacked.
func (w *world) image(t *testing.T) {
	t.Helper()
	ctx, end := w.lease(t)
	defer end()
	diffID := digest.FromString("the layer")
	platform := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	layer := w.blob(t, ctx, "layer", ocispec.MediaTypeImageLayer, []byte("the layer"), nil)
	config := w.blob(t, ctx, "config", ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	}, map[string]string{"containerd.io/gc.ref.snapshot." + driver: diffID.String()})
	w.manifest = w.blob(t, ctx, "manifest", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
	}, map[string]string{"containerd.io/gc.ref.content.0": config.Digest.String(), "containerd.io/gc.ref.content.1": layer.Digest.String()})
	_, err := w.images.Create(ctx, images.Image{Name: "image", Target: w.manifest})
	must(t, err)
	_, err = w.snapshots.Prepare(ctx, "unpacking", "")
	must(t, err)
	must(t, w.snapshots.Commit(ctx, identity.ChainID([]digest.Digest{diffID}).String(), "unpacking"))
}

// lease returns a context under a lease that is nobody's.
func (w *world) lease(t *testing.T) (context.Context, func()) {
	t.Helper()
	l, err := w.leases.Create(w.ctx, leases.WithRandomID())
	must(t, err)
	return leases.WithLease(w.ctx, l.ID), func() { must(t, w.leases.Delete(w.ctx, l)) }
}

func (w *world) blob(t *testing.T, ctx context.Context, name, mediaType string, value any, labels map[string]string) ocispec.Descriptor {
	t.Helper()
	text, ok := value.([]byte)
	if !ok {
		var err error
		text, err = json.Marshal(value)
		must(t, err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	wr, err := w.content.Writer(ctx, content.WithRef(name), content.WithDescriptor(desc))
	must(t, err)
	defer wr.Close()
	_, err = wr.Write(text)
	must(t, err)
	must(t, wr.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(labels)))
	w.blobs[name] = desc.Digest
	return desc
}

func digestOf(text string) digest.Digest { return digest.Digest(text) }

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it does not fail
	return hex.EncodeToString(b)
}

// create makes a container as a daemon does: a folder, a layer, and then its record.
func (w *world) create(ctx context.Context) (*moby.Container, error) {
	id := newID()
	c := moby.NewContainer(id, filepath.Join(w.folder, id))
	c.Driver, c.ImageManifest, c.ImageID = driver, &w.manifest, moby.ImageID(w.manifest.Digest)
	c.ImagePlatform = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	c.Config = &moby.ContainerConfig{Image: "image"}
	if err := os.Mkdir(c.Root, 0o700); err != nil {
		return nil, err
	}
	if _, err := w.service.CreateLayerContext(ctx, c, nil); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[id] = c
	return c, nil
}

// remove removes a container as a daemon does: its files, its folder, its record.
func (w *world) remove(ctx context.Context, c *moby.Container) error {
	c.State.SetRemovalInProgress()
	if err := w.service.DropLayer(ctx, c.ID); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Root); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c.ID)
	return nil
}

func (w *world) container(t *testing.T) *moby.Container {
	t.Helper()
	c, err := w.create(w.ctx)
	must(t, err)
	return c
}

// check checks the daemon.
func (w *world) check(t *testing.T, req api.CheckRequest) api.CheckReport {
	t.Helper()
	r, err := w.service.Check(w.ctx, w, w.folder, req)
	must(t, err)
	return r
}
