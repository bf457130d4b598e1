package integration_test

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
	config := usernsConfig("", nil)
	config.Flavor = stack.Stock
	e := newEnv(t, config, "busybox")
	id := e.run(t, "busybox", formerScript)
	e.docker(t, "stop", "-t", "1", id)
	e.as(t, stack.Fork)
	e.formerHolds(t, id)
	if out, err := e.try(t, "baleen", "upgrade", id, "busybox"); err == nil || !strings.Contains(out, "when it was created") {
		t.Errorf("an upgrade gave %v\n%s", err, out)
	}
	if got := e.activeSnapshot(t, id).Labels["containerd.io/snapshot/uidmapping"]; got != "" {
		t.Errorf("the snapshot asks for the mapping %q", got)
	}
	// Its revisions have the host's ids throughout.
	e.docker(t, "stop", "-t", "1", id)
	e.docker(t, "baleen", "snapshot", id)
	e.docker(t, "start", id)
	e.docker(t, "exec", id, "rm", "/mine")
	e.docker(t, "baleen", "rollback", id, "1")
	e.formerHolds(t, id)
}

// TestUserNamespacesBackToStock has Moby go on with containers whose ids are
// mapped by mounting, and with their revisions.
func TestUserNamespacesBackToStock(t *testing.T) {
	stockMapsIDs(t)
	e := newEnv(t, usernsConfig("", nil), "busybox")
	id := e.run(t, "busybox", formerScript)
	e.docker(t, "stop", "-t", "1", id)
	e.docker(t, "baleen", "snapshot", id)
	e.as(t, stack.Stock)
	e.docker(t, "start", id)
	if got := e.docker(t, "exec", id, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("under Moby\n%s", got)
	}
	e.docker(t, "stop", "-t", "1", id)
	e.as(t, stack.Fork)
	e.formerHolds(t, id)
}

// TestUserNamespacesStockRefuses: stock Moby 29 does not start on what Baleen made with
// mapped ids, or does not find it, and leaves it as it was. The fork's log says how to
// move. The test follows that.
func TestUserNamespacesStockRefuses(t *testing.T) {
	if l := line(t); l == engine.V28 {
		t.Skipf("stock Moby %s goes on with mapped ids", l)
	}
	e := newEnv(t, usernsConfig("", nil), "busybox")
	e.mustLog(t, "userns-remap is on together with the containerd image store. Stock Moby of this version refuses that", "docker commit", "docker save", "docker load")
	id := e.run(t, "busybox", formerScript)
	e.docker(t, "stop", "-t", "1", id)
	e.docker(t, "commit", id, "moved")
	archive := filepath.Join(e.Root(), "tmp", "moved.tar")
	e.docker(t, "save", "-o", archive, "moved")
	if err := e.StopDockerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err == nil || !strings.Contains(err.Error(), "not compatible with userns remapping") {
		t.Fatalf("stock starts on mapped ids: %v", err)
	}
	e.configure(t, map[string]any{})
	if err := e.StartDockerdAs(t.Context(), stack.Stock); err != nil {
		t.Fatal(err)
	}
	if got := e.docker(t, "ps", "-aq") + e.docker(t, "images", "-q"); got != "" {
		t.Errorf("stock finds %s", got)
	}
	e.docker(t, "load", "-i", archive)
	if got := e.docker(t, "run", "--rm", "moved", "sh", "-c", formerLook); got != formerWant {
		t.Errorf("under stock\n%s", got)
	}
	e.configure(t, map[string]any{"containerd-snapshotter": true})
	e.as(t, stack.Fork)
	e.formerHolds(t, id)
}

// as has another dockerd go on with the same data.
func (e *env) as(t *testing.T, flavor stack.Flavor) {
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
func (e *env) formerHolds(t *testing.T, id string) {
	t.Helper()
	e.docker(t, "start", id)
	// Its program ran again.
	if got := e.docker(t, "exec", id, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("in the container\n%s", got)
	}
	if got := e.docker(t, "diff", id); got != "C /etc\nD /etc/group\nA /mine" {
		t.Errorf("docker diff prints\n%s", got)
	}
	image := e.docker(t, "commit", id)
	if got := e.docker(t, "run", "--rm", image, "sh", "-c", formerLook); got != formerWant {
		t.Errorf("in the image\n%s", got)
	}
	e.ownersIn(t, image, map[string]string{"mine": "9:9", "etc": "0:0"})
}

// TestImagesMapNoIDs runs images that ask for a mapping, without a user
// namespace: annotations and labels of theirs must not come to be those of
// snapshots.
func TestImagesMapNoIDs(t *testing.T) {
	e := newEnv(t, stack.Config{}, "busybox")
	ask := map[string]string{
		"containerd.io/snapshot/uidmapping": "0:5000:65536", "containerd.io/snapshot/gidmapping": "0:5000:65536",
	}
	img := e.image(t, strings.TrimSpace(e.docker(t, "images", "-q", "--no-trunc", "busybox")))
	config, manifest := img.config, img.manifest
	top := tarOf(t, "asks", "text\n")
	layer := e.putBytes(t, ocispec.MediaTypeImageLayer, top, map[string]string{})
	layer.Annotations = ask
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(top))
	config.Config.Labels = ask
	manifest.Annotations = ask
	manifest.Layers = append(manifest.Layers, layer)
	manifest.Config = e.put(t, manifest.Config.MediaType, config)
	manifest.Config.Annotations = ask
	desc := e.put(t, img.target.MediaType, manifest, append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...)...)
	desc.Annotations = ask
	e.tag(t, "asks", desc)
	e.unroot(t)

	e.withRegistry(t, t.TempDir())
	const pushed = registry + "/asks:1"
	e.docker(t, "tag", "asks", pushed)
	e.docker(t, "push", pushed)
	archive := filepath.Join(t.TempDir(), "asks.tar")
	e.docker(t, "save", "-o", archive, "asks")
	e.createOf(t, "asks")
	// And by Moby's own way in, which unpacks.
	chain := identity.ChainID(config.RootFS.DiffIDs).String()
	e.drop(t, chain, "asks", pushed)
	e.docker(t, "load", "-i", archive)
	e.createOf(t, "asks")
	e.drop(t, chain, "asks")
	e.docker(t, "pull", pushed)
	e.createOf(t, pushed)
	if info, err := e.client.SnapshotService(snapshotter).Stat(e.ctx(t), chain); err != nil || info.Labels["containerd.io/snapshot/uidmapping"] != "" {
		t.Errorf("the image's snapshot has the labels %v: %v", info.Labels, err)
	}
}

// unroot lets containerd collect what putBytes stored.
func (e *env) unroot(t *testing.T) {
	t.Helper()
	const label = "containerd.io/gc.root"
	store := e.client.ContentStore()
	err := store.Walk(e.ctx(t), func(i content.Info) error {
		i.Labels = map[string]string{label: ""}
		_, err := store.Update(e.ctx(t), i, "labels."+label)
		return err
	}, `labels."`+label+`"`)
	if err != nil {
		t.Fatal(err)
	}
}

// drop removes images, with a snapshot of theirs.
func (e *env) drop(t *testing.T, chain string, images ...string) {
	t.Helper()
	e.docker(t, append([]string{"rmi", "-f"}, images...)...)
	e.collect(t)
	if slices.Contains(e.state(t).snapshots, chain) {
		t.Fatalf("snapshot %s is still there", chain)
	}
}

// createOf makes a container of an image that asks for a mapping.
func (e *env) createOf(t *testing.T, image string) {
	t.Helper()
	id := e.run(t, image, "true")
	if got := e.docker(t, "exec", id, "stat", "-c", "%n %u:%g", "/", "/asks", "/bin/sh"); got != "/ 0:0\n/asks 0:0\n/bin/sh 0:0" {
		t.Errorf("in the container\n%s", got)
	}
	mounts, err := e.client.SnapshotService(snapshotter).Mounts(e.ctx(t), id)
	if err != nil || strings.Contains(fmt.Sprint(mounts), "idmap") {
		t.Errorf("it is mounted by %v: %v", mounts, err)
	}
	for _, name := range []string{id, id + "-init"} {
		info, err := e.client.SnapshotService(snapshotter).Stat(e.ctx(t), name)
		if err != nil || info.Labels["containerd.io/snapshot/uidmapping"] != "" {
			t.Errorf("snapshot %s has the labels %v: %v", name, info.Labels, err)
		}
	}
	e.remove(t, id)
}

// TestUserNamespacesCostWhatIsWritten counts what creating a container leaves to
// be done for an image of few files, and for one of many.
func TestUserNamespacesCostWhatIsWritten(t *testing.T) {
	for _, way := range []string{"mount", "copy"} {
		t.Run(way, func(t *testing.T) {
			e := newEnv(t, usernsConfig(way, nil), "busybox")
			out, err := e.build(t, "FROM busybox\nRUN mkdir /many && cd /many && for i in $(seq 5000); do echo $i > $i; done\n", "-t", "many")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			e.docker(t, "rm", "-f", e.docker(t, "create", "many")) // which makes the copy
			entries := map[string]int{}
			for _, image := range []string{"busybox", "many"} {
				id := e.docker(t, "create", image)
				for _, name := range []string{id, id + "-init"} {
					entries[image] += e.entries(t, name)
				}
				e.remove(t, id)
			}
			if entries["many"] != entries["busybox"] || entries["many"] > 20 {
				t.Errorf("creating a container writes %v entries", entries)
			}
		})
	}
}

// entries counts what is in the upper of a snapshot.
func (e *env) entries(t *testing.T, name string) (n int) {
	t.Helper()
	sn := e.client.SnapshotService(snapshotter)
	mounts, err := sn.Mounts(e.ctx(t), name)
	if err != nil { // it is committed
		if mounts, err = sn.View(e.ctx(t), name+"-look", name); err != nil {
			t.Fatal(err)
		}
		if err := sn.Remove(e.ctx(t), name+"-look"); err != nil {
			t.Fatal(err)
		}
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
