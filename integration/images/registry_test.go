package images_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// sourceLabel names the registry without its port: so Moby has it.
const sourceLabel = "containerd.io/distribution.source.127.0.0.1"

// TestRegistry pushes what was committed here, with every packing, and pulls and
// runs it with stock on either of its stores; and the other way round.
func TestRegistry(t *testing.T) {
	store := t.TempDir()
	fork := harness.StartWithTree(t)
	fork.WithRegistry(t, store)
	base := pullBack(t, fork, "tree", harness.RegistryAddress+"/base:1")
	committed := commitPacked(t, fork, base, harness.RegistryAddress+"/app")
	committed = append(committed, commitMixed(t, fork, committed[1], harness.RegistryAddress+"/app"))
	t.Run("the fork pushes its layers and not the base's", func(t *testing.T) { pushesOnlyNew(t, fork, committed) })

	stock := harness.Start(t, stack.Config{Flavor: stack.Stock})
	stock.WithRegistry(t, store)
	graph := harness.Start(t, stack.Config{Flavor: stack.Stock, StorageDriver: "overlay2"})
	graph.WithRegistry(t, store)
	t.Run("stock pulls and runs them", func(t *testing.T) { pullsAndRuns(t, stock, committed) })
	t.Run("stock on overlay2 pulls and runs them", func(t *testing.T) { pullsAndRuns(t, graph, committed) })
	t.Run("stock pushes them on as they are", func(t *testing.T) { pushesOn(t, stock, committed) })
	t.Run("the fork commits on what stock has pushed", func(t *testing.T) { commitsOnStocks(t, fork, stock, committed[0].name) })
	t.Run("a commit without changes pushes no layer", func(t *testing.T) { pushesNoLayer(t, fork, base) })
	t.Run("a commit on an image of schema 2 is pushed", func(t *testing.T) { pushesOnSchema2(t, fork, stock, graph) })
	t.Run("a commit on an image for several platforms is pushed", func(t *testing.T) { pushesOnIndex(t, fork, store, stock, graph) })
	t.Run("a classic build is pushed after its base is gone", func(t *testing.T) { pushesBuild(t, fork, stock, base) })
	t.Run("every blob is what its name says", func(t *testing.T) { wholeBlobs(t, store) })
	if s := fork.State(t); len(s.Ingests) > 0 || len(harness.OperationLeases(s.Leases)) > 0 {
		t.Errorf("in the end there are ingests %v and leases %v", s.Ingests, harness.OperationLeases(s.Leases))
	}
}

// pullBack moves an image to a registry, so that it is one that was pulled.
func pullBack(t *testing.T, e *harness.Env, image, name string) string {
	t.Helper()
	e.Must(t, "tag", image, name)
	id := e.Push(t, name)
	tags := strings.Fields(e.Must(t, "images", "--format", "{{.Repository}}:{{.Tag}}"))
	e.Must(t, append([]string{"rmi"}, tags...)...)
	if out := e.Must(t, "pull", name); strings.Contains(out, "Already exists") || !strings.Contains(out, "Digest: "+id.String()) {
		t.Fatalf("docker pull %s printed\n%s", name, out)
	}
	return name
}

// uploads counts the layers whose bytes were sent.
func uploads(layers map[string]string) int {
	sent := 0
	for _, how := range layers {
		if how == "Pushed" {
			sent++
		}
	}
	return sent
}

// commitMixed commits another layer on an image that was committed with zstd,
// without compression.
func commitMixed(t *testing.T, e *harness.Env, base packed, repository string) packed {
	t.Helper()
	id := e.Run(t, base.name, "rm -r /tree/opaque /tree/text; chmod 4755 /tree/capable; echo mixed > /tree/packing")
	tree := e.Must(t, "exec", id, "/fstool", "list", "/tree")
	image := commitAs(t, e, id, "none", repository, "mixed")
	var types []string
	for _, l := range e.Image(t, image.String()).Manifest.Layers {
		types = append(types, strings.TrimPrefix(l.MediaType, "application/vnd.oci.image.layer.v1."))
	}
	if got := strings.Join(types, " "); got != "tar+gzip tar+gzip tar+zstd tar" {
		t.Errorf("the layers are of types %s", got)
	}
	return packed{"mixed", repository + ":mixed", image, tree}
}

func pushesOnlyNew(t *testing.T, e *harness.Env, committed []packed) {
	const below = 2 // layers of the base
	known := map[digest.Digest]bool{}
	for _, img := range committed {
		layers := e.Image(t, img.id.String()).Manifest.Layers
		for i, l := range layers {
			// Layers are known to be where they were pulled from or pushed
			// to, and a new one nowhere.
			var want []string
			if i < below {
				want = append(want, "base")
			}
			if known[l.Digest] {
				want = append([]string{"app"}, want...)
			}
			if got := sources(t, e, l.Digest); !slices.Equal(got, want) {
				t.Errorf("before the push of %s layer %d is in %q, want %q", img.name, i, got, want)
			}
		}
		pushed, how := e.PushLayers(t, img.name)
		if pushed != img.id {
			t.Errorf("the image %s was pushed as %s", img.id, pushed)
		}
		for i, l := range layers {
			got := how[l.Digest.Encoded()[:12]]
			isNew := i >= below && !known[l.Digest]
			if isNew != (got == "Pushed") || !isNew && got != "Mounted from base" && got != "Layer already exists" {
				t.Errorf("layer %d of %s: %q", i, img.name, got)
			}
			known[l.Digest] = true
			if got := sources(t, e, l.Digest); !slices.Contains(got, "app") {
				t.Errorf("after the push of %s layer %d is in %q", img.name, i, got)
			}
		}
	}
}

// sources lists the repositories of the registry that a blob is known to be in.
func sources(t *testing.T, e *harness.Env, blob digest.Digest) []string {
	t.Helper()
	info, err := e.Client.ContentStore().Info(e.Context(t), blob)
	if err != nil {
		t.Fatal(err)
	}
	for label := range info.Labels {
		if strings.HasPrefix(label, "containerd.io/distribution.source.") && label != sourceLabel {
			t.Errorf("blob %s has label %s", blob, label)
		}
	}
	names := strings.FieldsFunc(info.Labels[sourceLabel], func(r rune) bool { return r == ',' })
	slices.Sort(names)
	return names
}

// pullsAndRuns pulls each image by its digest and by its tag.
func pullsAndRuns(t *testing.T, e *harness.Env, committed []packed) {
	for _, img := range committed {
		for _, name := range []string{harness.RegistryAddress + "/app@" + img.id.String(), img.name} {
			if out := e.Must(t, "pull", name); !strings.Contains(out, "Digest: "+img.id.String()) {
				t.Errorf("docker pull %s printed\n%s", name, out)
			}
			sees(t, e, name, img.tree)
		}
	}
}

// pushesOn takes the images to another repository.
func pushesOn(t *testing.T, e *harness.Env, committed []packed) {
	for _, img := range committed {
		name := harness.RegistryAddress + "/team/again:" + img.compression
		e.Must(t, "tag", img.name, name)
		if got := e.Push(t, name); got != img.id {
			t.Errorf("the image %s became %s", img.id, got)
		}
	}
}

func commitsOnStocks(t *testing.T, fork, stock *harness.Env, onFork string) {
	tree := func(e *harness.Env, image, script, name string) string {
		id := e.Run(t, image, script)
		e.Must(t, "commit", id, name)
		return e.Must(t, "exec", id, "/fstool", "list", "/tree")
	}
	byStock := harness.RegistryAddress + "/stocks:1"
	seen := tree(stock, onFork, "rm /tree/random; echo stock > /tree/stock", byStock)
	stock.Push(t, byStock)

	fork.Must(t, "pull", byStock)
	sees(t, fork, byStock, seen)
	byFork := harness.RegistryAddress + "/forks:1"
	seen = tree(fork, byStock, "rm /tree/stock; echo fork > /tree/fork", byFork)
	if _, layers := fork.PushLayers(t, byFork); len(layers) != 5 || uploads(layers) != 1 {
		t.Errorf("of the image on stock's these layers were pushed: %v", layers)
	}
	stock.Must(t, "pull", byFork)
	sees(t, stock, byFork, seen)
}

func pushesNoLayer(t *testing.T, e *harness.Env, base string) {
	id := e.Must(t, "create", base, "true")
	defer e.Remove(t, id)
	name := harness.RegistryAddress + "/app:same"
	e.Must(t, "commit", id, name)
	if _, layers := e.PushLayers(t, name); len(layers) != 2 || uploads(layers) != 0 {
		t.Errorf("these layers were pushed: %v", layers)
	}
}

// pushesOnSchema2 has both stores read an image whose base had Docker's media
// types. Its layers hold one file each and nothing to run.
func pushesOnSchema2(t *testing.T, fork *harness.Env, readers ...*harness.Env) {
	manifest := fork.PutForeignImage(t, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config,
		images.MediaTypeDockerSchema2LayerGzip, ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
	fork.Tag(t, "foreign", manifest)
	id := fork.Must(t, "create", "foreign", "/x")
	defer fork.Remove(t, id)
	fork.CopyIn(t, id)
	name := harness.RegistryAddress + "/on-foreign:1"
	fork.Must(t, "commit", id, name)
	fork.Must(t, "push", "--platform", "linux/"+runtime.GOARCH, name)
	for _, stock := range readers {
		holds(t, stock, name, "base", "copied")
	}
}

// holds fails the test if a pulled image does not have these files. It may have
// nothing to run.
func holds(t *testing.T, e *harness.Env, name string, files ...string) {
	t.Helper()
	e.Must(t, "pull", name)
	id := e.Must(t, "create", name, "/x")
	defer e.Remove(t, id)
	for _, file := range files {
		out, err := harness.Output(e.Docker(t.Context(), "cp", id+":/"+file, "-"))
		if err != nil || !strings.HasPrefix(out, file+"\x00") {
			t.Errorf("the image %s has no /%s: %v\n%.200s", name, file, err, out)
		}
	}
}

// multi stores an image for several platforms, and returns its manifests, too.
func multi(t *testing.T, e *harness.Env, architectures ...string) (index ocispec.Descriptor, manifests []ocispec.Descriptor) {
	t.Helper()
	for _, arch := range architectures {
		p := ocispec.Platform{OS: "linux", Architecture: arch}
		manifest := e.PutForeignImage(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, p)
		manifest.Platform = &p
		manifests = append(manifests, manifest)
	}
	return e.PutJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	}, manifests...), manifests
}

// pushesOnIndex commits where only one of the platforms of the base has been
// pulled.
func pushesOnIndex(t *testing.T, fork *harness.Env, store string, readers ...*harness.Env) {
	index, _ := multi(t, fork, "amd64", "arm64", "riscv64")
	fork.Tag(t, "multi", index)
	base, name := harness.RegistryAddress+"/multi:1", harness.RegistryAddress+"/on-multi:1"
	fork.Must(t, "tag", "multi", base)
	if got := fork.Push(t, base); got != index.Digest {
		t.Errorf("the index %s was pushed as %s", index.Digest, got)
	}

	// It must not have the other platforms already.
	other := harness.Start(t, stack.Config{})
	other.WithRegistry(t, store)
	other.Must(t, "pull", base)
	id := other.Must(t, "create", base, "/x")
	defer other.Remove(t, id)
	other.CopyIn(t, id)
	other.Must(t, "commit", id, name)
	if _, layers := other.PushLayers(t, name); len(layers) != 2 || uploads(layers) != 1 {
		t.Errorf("these layers were pushed: %v", layers)
	}
	for _, stock := range readers {
		holds(t, stock, name, "base", "copied")
	}
}

func pushesBuild(t *testing.T, fork, stock *harness.Env, base string) {
	name := harness.RegistryAddress + "/built:1"
	dockerfile := "FROM " + base + "\nRUN rm -r /tree/gone && echo built > /tree/built\nLABEL a=b\nCMD [\"/fstool\", \"list\", \"/tree\"]\n"
	if out, err := fork.Build(t, dockerfile, "-t", name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fork.Must(t, "rmi", "-f", base)
	if _, layers := fork.PushLayers(t, name); len(layers) != 3 || uploads(layers) != 1 {
		t.Errorf("these layers were pushed: %v", layers)
	}
	tree := fork.Must(t, "run", "--rm", name)
	stock.Must(t, "pull", name)
	sees(t, stock, name, tree)
	if !strings.Contains(tree, "/tree/built") || strings.Contains(tree, "/tree/gone/") {
		t.Errorf("the build has\n%s", tree)
	}
}

// wholeBlobs hashes all that a registry stores.
func wholeBlobs(t *testing.T, store string) {
	found := 0
	err := filepath.WalkDir(store, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "data" || entry.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		got, err := digest.FromReader(file)
		if err != nil {
			return err
		}
		found++
		if want := filepath.Base(filepath.Dir(path)); got.Encoded() != want {
			return fmt.Errorf("blob %s has digest %s", want, got)
		}
		return nil
	})
	if err != nil || found < 10 {
		t.Errorf("looked at %d blobs: %v", found, err)
	}
}
