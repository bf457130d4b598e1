package userns_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

const (
	formerScript = "echo mine > /mine; chown 9:9 /mine; rm /etc/group"
	formerLook   = "stat -c '%n %u:%g' /mine /bin/sh; ls /etc/group 2>/dev/null; true"
	formerWant   = "/mine 9:9\n/bin/sh 0:0"
)

// TestUserNamespacesOfFormerContainers takes over containers whose files all got
// other owners when they were created: as Moby does it, and Baleen once did.
func TestUserNamespacesOfFormerContainers(t *testing.T) {
	stockMapsIDs(t)
	config := harness.UsernsConfig("", nil)
	config.Flavor = stack.Stock
	e := harness.Start(t, config, "busybox")
	id := e.Run(t, "busybox", formerScript)
	e.Must(t, "stop", "-t", "1", id)
	as(t, e, stack.Fork)
	formerHolds(t, e, id)
	if out, err := e.Try(t, "baleen", "upgrade", id, "busybox"); err == nil || !strings.Contains(out, "when it was created") {
		t.Errorf("an upgrade gave %v\n%s", err, out)
	}
	if got := e.ActiveSnapshot(t, id).Labels["containerd.io/snapshot/uidmapping"]; got != "" {
		t.Errorf("the snapshot asks for the mapping %q", got)
	}
	// Its revisions have the host's ids throughout.
	e.Must(t, "stop", "-t", "1", id)
	e.Must(t, "baleen", "snapshot", id)
	e.Must(t, "start", id)
	e.Must(t, "exec", id, "rm", "/mine")
	e.Must(t, "baleen", "rollback", id, "1")
	formerHolds(t, e, id)
}

// TestUserNamespacesBackToStock has Moby go on with containers whose ids are
// mapped by mounting, and with their revisions.
func TestUserNamespacesBackToStock(t *testing.T) {
	stockMapsIDs(t)
	e := harness.Start(t, harness.UsernsConfig("", nil), "busybox")
	id := e.Run(t, "busybox", formerScript)
	e.Must(t, "stop", "-t", "1", id)
	e.Must(t, "baleen", "snapshot", id)
	as(t, e, stack.Stock)
	e.Must(t, "start", id)
	if got := e.Must(t, "exec", id, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("under Moby\n%s", got)
	}
	e.Must(t, "stop", "-t", "1", id)
	as(t, e, stack.Fork)
	formerHolds(t, e, id)
}

// TestUserNamespacesStockRefuses: stock Moby 29 does not start on what Baleen made with
// mapped ids, or does not find it, and leaves it as it was. The fork's log says how to
// move. The test follows that.
func TestUserNamespacesStockRefuses(t *testing.T) {
	if l := harness.EngineLine(t); l == engine.V28 {
		t.Skipf("stock Moby %s goes on with mapped ids", l)
	}
	e := harness.Start(t, harness.UsernsConfig("", nil), "busybox")
	e.MustLog(t, "userns-remap is on together with the containerd image store. Stock Moby of this version refuses that", "docker commit", "docker save", "docker load")
	id := e.Run(t, "busybox", formerScript)
	e.Must(t, "stop", "-t", "1", id)
	e.Must(t, "commit", id, "moved")
	archive := filepath.Join(e.Root(), "tmp", "moved.tar")
	e.Must(t, "save", "-o", archive, "moved")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err == nil || !strings.Contains(err.Error(), "not compatible with userns remapping") {
		t.Fatalf("stock starts on mapped ids: %v", err)
	}
	e.Configure(t, map[string]any{})
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err != nil {
		t.Fatal(err)
	}
	if got := e.Must(t, "ps", "-aq") + e.Must(t, "images", "-q"); got != "" {
		t.Errorf("stock finds %s", got)
	}
	e.Must(t, "load", "-i", archive)
	if got := e.Must(t, "run", "--rm", "moved", "sh", "-c", formerLook); got != formerWant {
		t.Errorf("under stock\n%s", got)
	}
	e.Configure(t, map[string]any{"containerd-snapshotter": true})
	as(t, e, stack.Fork)
	formerHolds(t, e, id)
}

// as has another dockerd go on with the same data.
func as(t *testing.T, e *harness.Env, flavor stack.Flavor) {
	t.Helper()
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), flavor); err != nil {
		t.Fatal(err)
	}
}

// formerHolds starts the container of formerScript, and looks at it and at an
// image of it.
func formerHolds(t *testing.T, e *harness.Env, id string) {
	t.Helper()
	e.Must(t, "start", id)
	// Its program ran again.
	if got := e.Must(t, "exec", id, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("in the container\n%s", got)
	}
	if got := e.Must(t, "diff", id); got != "C /etc\nD /etc/group\nA /mine" {
		t.Errorf("docker diff prints\n%s", got)
	}
	image := e.Must(t, "commit", id)
	if got := e.Must(t, "run", "--rm", image, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("in the image\n%s", got)
	}
	ownersIn(t, e, image, map[string]string{"mine": "9:9", "etc": "0:0"})
}

// TestImagesMapNoIDs runs images that ask for a mapping, without a user
// namespace: annotations and labels of theirs must not come to be those of
// snapshots.
func TestImagesMapNoIDs(t *testing.T) {
	e := harness.Start(t, stack.Config{}, "busybox")
	ask := map[string]string{
		"containerd.io/snapshot/uidmapping": "0:5000:65536", "containerd.io/snapshot/gidmapping": "0:5000:65536",
	}
	img := e.Image(t, strings.TrimSpace(e.Must(t, "images", "-q", "--no-trunc", "busybox")))
	config, manifest := img.Config, img.Manifest
	top := harness.TarOf(t, "asks", "text\n")
	layer := e.PutBlob(t, ocispec.MediaTypeImageLayer, top, map[string]string{})
	layer.Annotations = ask
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(top))
	config.Config.Labels = ask
	manifest.Annotations = ask
	manifest.Layers = append(manifest.Layers, layer)
	manifest.Config = e.PutJSON(t, manifest.Config.MediaType, config)
	manifest.Config.Annotations = ask
	desc := e.PutJSON(t, img.Target.MediaType, manifest, append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...)...)
	desc.Annotations = ask
	e.Tag(t, "asks", desc)
	unroot(t, e)

	e.WithRegistry(t, t.TempDir())
	const pushed = harness.RegistryAddress + "/asks:1"
	e.Must(t, "tag", "asks", pushed)
	e.Must(t, "push", pushed)
	archive := filepath.Join(t.TempDir(), "asks.tar")
	e.Must(t, "save", "-o", archive, "asks")
	createOf(t, e, "asks")
	// And by Moby's own way in, which unpacks.
	chain := identity.ChainID(config.RootFS.DiffIDs).String()
	drop(t, e, chain, "asks", pushed)
	e.Must(t, "load", "-i", archive)
	createOf(t, e, "asks")
	drop(t, e, chain, "asks")
	e.Must(t, "pull", pushed)
	createOf(t, e, pushed)
	if info, err := e.Client.SnapshotService(harness.Snapshotter).Stat(e.Context(t), chain); err != nil || info.Labels["containerd.io/snapshot/uidmapping"] != "" {
		t.Errorf("the image's snapshot has the labels %v: %v", info.Labels, err)
	}
}

// unroot lets containerd collect what putBytes stored.
func unroot(t *testing.T, e *harness.Env) {
	t.Helper()
	const label = "containerd.io/gc.root"
	store := e.Client.ContentStore()
	err := store.Walk(e.Context(t), func(i content.Info) error {
		i.Labels = map[string]string{label: ""}
		_, err := store.Update(e.Context(t), i, "labels."+label)
		return err
	}, `labels."`+label+`"`)
	if err != nil {
		t.Fatal(err)
	}
}

// drop removes images, with a snapshot of theirs.
func drop(t *testing.T, e *harness.Env, chain string, images ...string) {
	t.Helper()
	e.Must(t, append([]string{"rmi", "-f"}, images...)...)
	e.CollectGarbage(t)
	if slices.Contains(e.State(t).Snapshots, chain) {
		t.Fatalf("snapshot %s is still there", chain)
	}
}

// createOf makes a container of an image that asks for a mapping.
func createOf(t *testing.T, e *harness.Env, image string) {
	t.Helper()
	id := e.Run(t, image, "true")
	if got := e.Must(t, "exec", id, "stat", "-c", "%n %u:%g", "/", "/asks", "/bin/sh"); got != "/ 0:0\n/asks 0:0\n/bin/sh 0:0" {
		t.Errorf("in the container\n%s", got)
	}
	mounts, err := e.Client.SnapshotService(harness.Snapshotter).Mounts(e.Context(t), id)
	if err != nil || strings.Contains(fmt.Sprint(mounts), "idmap") {
		t.Errorf("it is mounted by %v: %v", mounts, err)
	}
	for _, name := range []string{id, id + "-init"} {
		info, err := e.Client.SnapshotService(harness.Snapshotter).Stat(e.Context(t), name)
		if err != nil || info.Labels["containerd.io/snapshot/uidmapping"] != "" {
			t.Errorf("snapshot %s has the labels %v: %v", name, info.Labels, err)
		}
	}
	e.Remove(t, id)
}

// TestUserNamespacesCostWhatIsWritten counts what creating a container leaves to
// be done for an image of few files, and for one of many.
func TestUserNamespacesCostWhatIsWritten(t *testing.T) {
	for _, way := range []string{"mount", "copy"} {
		t.Run(way, func(t *testing.T) {
			e := harness.Start(t, harness.UsernsConfig(way, nil), "busybox")
			out, err := e.Build(t, "FROM busybox\nRUN mkdir /many && cd /many && for i in $(seq 5000); do echo $i > $i; done\n", "-t", "many")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			e.Must(t, "rm", "-f", e.Must(t, "create", "many")) // which makes the copy
			entries := map[string]int{}
			for _, image := range []string{"busybox", "many"} {
				id := e.Must(t, "create", image)
				for _, name := range []string{id, id + "-init"} {
					entries[image] += countEntries(t, e, name)
				}
				e.Remove(t, id)
			}
			if entries["many"] != entries["busybox"] || entries["many"] > 20 {
				t.Errorf("creating a container writes %v entries", entries)
			}
		})
	}
}

// countEntries counts what is in the upper of a snapshot.
func countEntries(t *testing.T, e *harness.Env, name string) (n int) {
	t.Helper()
	mounts, err := e.Client.SnapshotService(harness.Snapshotter).Mounts(e.Context(t), name)
	if err != nil { // it is committed
		e.WithView(t, name, func(view []mount.Mount) { mounts = view })
	}
	err = filepath.WalkDir(topFolder(t, mounts), func(path string, d fs.DirEntry, err error) error {
		n++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n - 1
}

// topFolder is the upper of an overlay, or else its topmost lower.
func topFolder(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	for _, key := range []string{"upperdir=", "lowerdir="} {
		for _, option := range mounts[0].Options {
			if folders, ok := strings.CutPrefix(option, key); ok {
				return strings.Split(folders, ":")[0]
			}
		}
	}
	text, _ := json.Marshal(mounts)
	t.Fatalf("there is no folder in %s", text)
	return os.DevNull
}
