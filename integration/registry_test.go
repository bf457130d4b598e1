package integration_test

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

	"github.com/baleen-project/baleen/integration/stack"
)

const (
	registry = "127.0.0.1:5000"
	// sourceLabel names the registry without its port: so Moby has it.
	sourceLabel = "containerd.io/distribution.source.127.0.0.1"
)

// TestRegistry pushes what was committed here, with every packing, and pulls and
// runs it with stock on either of its stores; and the other way round.
func TestRegistry(t *testing.T) {
	store := t.TempDir()
	fork := forkWithTree(t)
	fork.withRegistry(t, store)
	base := fork.pullBack(t, "tree", registry+"/base:1")
	committed := fork.commitPacked(t, base, registry+"/app")
	committed = append(committed, fork.commitMixed(t, committed[1], registry+"/app"))
	t.Run("the fork pushes its layers and not the base's", func(t *testing.T) { pushesOnlyNew(t, fork, committed) })

	stock := newEnv(t, stack.Config{Flavor: stack.Stock})
	stock.withRegistry(t, store)
	graph := newEnv(t, stack.Config{Flavor: stack.Stock, StorageDriver: "overlay2"})
	graph.withRegistry(t, store)
	t.Run("stock pulls and runs them", func(t *testing.T) { stock.pullsAndRuns(t, committed) })
	t.Run("stock on overlay2 pulls and runs them", func(t *testing.T) { graph.pullsAndRuns(t, committed) })
	t.Run("stock pushes them on as they are", func(t *testing.T) { pushesOn(t, stock, committed) })
	t.Run("the fork commits on what stock has pushed", func(t *testing.T) { commitsOnStocks(t, fork, stock, committed[0].name) })
	t.Run("a commit without changes pushes no layer", func(t *testing.T) { pushesNoLayer(t, fork, base) })
	t.Run("a commit on an image of schema 2 is pushed", func(t *testing.T) { pushesOnSchema2(t, fork, stock, graph) })
	t.Run("a commit on an image for several platforms is pushed", func(t *testing.T) { pushesOnIndex(t, fork, store, stock, graph) })
	t.Run("a classic build is pushed after its base is gone", func(t *testing.T) { pushesBuild(t, fork, stock, base) })
	t.Run("every blob is what its name says", func(t *testing.T) { wholeBlobs(t, store) })
	if s := fork.state(t); len(s.ingests) > 0 || len(operations(s.leases)) > 0 {
		t.Errorf("in the end there are ingests %v and leases %v", s.ingests, operations(s.leases))
	}
}

// withRegistry starts a registry beside the daemons.
func (e *env) withRegistry(t *testing.T, store string) {
	t.Helper()
	address, err := e.StartRegistry(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if address != registry {
		t.Fatalf("the registry listens on %s", address)
	}
}

// pullBack moves an image to a registry, so that it is one that was pulled.
func (e *env) pullBack(t *testing.T, image, name string) string {
	t.Helper()
	e.docker(t, "tag", image, name)
	id := e.push(t, name)
	tags := strings.Fields(e.docker(t, "images", "--format", "{{.Repository}}:{{.Tag}}"))
	e.docker(t, append([]string{"rmi"}, tags...)...)
	if out := e.docker(t, "pull", name); strings.Contains(out, "Already exists") || !strings.Contains(out, "Digest: "+id.String()) {
		t.Fatalf("docker pull %s printed\n%s", name, out)
	}
	return name
}

// push returns the digest that was pushed, as the command prints it.
func (e *env) push(t *testing.T, name string) digest.Digest {
	t.Helper()
	dgst, _ := e.pushLayers(t, name)
	return dgst
}

// pushLayers returns also what became of each layer, by the first digits of its
// digest.
func (e *env) pushLayers(t *testing.T, name string) (digest.Digest, map[string]string) {
	t.Helper()
	out := e.docker(t, "push", name)
	var pushed digest.Digest
	layers := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		what, how, _ := strings.Cut(line, ": ")
		if rest, ok := strings.CutPrefix(how, "digest: "); ok {
			text, _, _ := strings.Cut(rest, " ")
			pushed = digest.Digest(text)
		} else if how != "" {
			layers[what] = how
		}
	}
	if err := pushed.Validate(); err != nil {
		t.Fatalf("docker push %s printed\n%s", name, out)
	}
	return pushed, layers
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
func (e *env) commitMixed(t *testing.T, base packed, repository string) packed {
	t.Helper()
	id := e.run(t, base.name, "rm -r /tree/opaque /tree/text; chmod 4755 /tree/capable; echo mixed > /tree/packing")
	tree := e.docker(t, "exec", id, "/fstool", "list", "/tree")
	image := e.commitAs(t, id, "none", repository, "mixed")
	var types []string
	for _, l := range e.image(t, image.String()).manifest.Layers {
		types = append(types, strings.TrimPrefix(l.MediaType, "application/vnd.oci.image.layer.v1."))
	}
	if got := strings.Join(types, " "); got != "tar+gzip tar+gzip tar+zstd tar" {
		t.Errorf("the layers are of types %s", got)
	}
	return packed{"mixed", repository + ":mixed", image, tree}
}

func pushesOnlyNew(t *testing.T, e *env, committed []packed) {
	const below = 2 // layers of the base
	known := map[digest.Digest]bool{}
	for _, img := range committed {
		layers := e.image(t, img.id.String()).manifest.Layers
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
			if got := e.sources(t, l.Digest); !slices.Equal(got, want) {
				t.Errorf("before the push of %s layer %d is in %q, want %q", img.name, i, got, want)
			}
		}
		pushed, how := e.pushLayers(t, img.name)
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
			if got := e.sources(t, l.Digest); !slices.Contains(got, "app") {
				t.Errorf("after the push of %s layer %d is in %q", img.name, i, got)
			}
		}
	}
}

// sources lists the repositories of the registry that a blob is known to be in.
func (e *env) sources(t *testing.T, blob digest.Digest) []string {
	t.Helper()
	info, err := e.client.ContentStore().Info(e.ctx(t), blob)
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
func (e *env) pullsAndRuns(t *testing.T, committed []packed) {
	for _, img := range committed {
		for _, name := range []string{registry + "/app@" + img.id.String(), img.name} {
			if out := e.docker(t, "pull", name); !strings.Contains(out, "Digest: "+img.id.String()) {
				t.Errorf("docker pull %s printed\n%s", name, out)
			}
			e.sees(t, name, img.tree)
		}
	}
}

// pushesOn takes the images to another repository.
func pushesOn(t *testing.T, e *env, committed []packed) {
	for _, img := range committed {
		name := registry + "/team/again:" + img.compression
		e.docker(t, "tag", img.name, name)
		if got := e.push(t, name); got != img.id {
			t.Errorf("the image %s became %s", img.id, got)
		}
	}
}

func commitsOnStocks(t *testing.T, fork, stock *env, onFork string) {
	tree := func(e *env, image, script, name string) string {
		id := e.run(t, image, script)
		e.docker(t, "commit", id, name)
		return e.docker(t, "exec", id, "/fstool", "list", "/tree")
	}
	byStock := registry + "/stocks:1"
	seen := tree(stock, onFork, "rm /tree/random; echo stock > /tree/stock", byStock)
	stock.push(t, byStock)

	fork.docker(t, "pull", byStock)
	fork.sees(t, byStock, seen)
	byFork := registry + "/forks:1"
	seen = tree(fork, byStock, "rm /tree/stock; echo fork > /tree/fork", byFork)
	if _, layers := fork.pushLayers(t, byFork); len(layers) != 5 || uploads(layers) != 1 {
		t.Errorf("of the image on stock's these layers were pushed: %v", layers)
	}
	stock.docker(t, "pull", byFork)
	stock.sees(t, byFork, seen)
}

func pushesNoLayer(t *testing.T, e *env, base string) {
	id := e.docker(t, "create", base, "true")
	defer e.remove(t, id)
	name := registry + "/app:same"
	e.docker(t, "commit", id, name)
	if _, layers := e.pushLayers(t, name); len(layers) != 2 || uploads(layers) != 0 {
		t.Errorf("these layers were pushed: %v", layers)
	}
}

// pushesOnSchema2 has both stores read an image whose base had Docker's media
// types. Its layers hold one file each and nothing to run.
func pushesOnSchema2(t *testing.T, fork *env, readers ...*env) {
	manifest := fork.foreign(t, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config,
		images.MediaTypeDockerSchema2LayerGzip, ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
	fork.tag(t, "foreign", manifest)
	id := fork.docker(t, "create", "foreign", "/x")
	defer fork.remove(t, id)
	fork.copyIn(t, id)
	name := registry + "/on-foreign:1"
	fork.docker(t, "commit", id, name)
	fork.docker(t, "push", "--platform", "linux/"+runtime.GOARCH, name)
	for _, stock := range readers {
		stock.holds(t, name, "base", "copied")
	}
}

// holds fails the test if a pulled image does not have these files. It may have
// nothing to run.
func (e *env) holds(t *testing.T, name string, files ...string) {
	t.Helper()
	e.docker(t, "pull", name)
	id := e.docker(t, "create", name, "/x")
	defer e.remove(t, id)
	for _, file := range files {
		out, err := output(e.Docker(t.Context(), "cp", id+":/"+file, "-"))
		if err != nil || !strings.HasPrefix(out, file+"\x00") {
			t.Errorf("the image %s has no /%s: %v\n%.200s", name, file, err, out)
		}
	}
}

// multi stores an image for several platforms, and returns its manifests, too.
func (e *env) multi(t *testing.T, architectures ...string) (index ocispec.Descriptor, manifests []ocispec.Descriptor) {
	t.Helper()
	for _, arch := range architectures {
		p := ocispec.Platform{OS: "linux", Architecture: arch}
		manifest := e.foreign(t, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, p)
		manifest.Platform = &p
		manifests = append(manifests, manifest)
	}
	return e.put(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	}, manifests...), manifests
}

// pushesOnIndex commits where only one of the platforms of the base has been
// pulled.
func pushesOnIndex(t *testing.T, fork *env, store string, readers ...*env) {
	index, _ := fork.multi(t, "amd64", "arm64", "riscv64")
	fork.tag(t, "multi", index)
	base, name := registry+"/multi:1", registry+"/on-multi:1"
	fork.docker(t, "tag", "multi", base)
	if got := fork.push(t, base); got != index.Digest {
		t.Errorf("the index %s was pushed as %s", index.Digest, got)
	}

	// It must not have the other platforms already.
	other := newEnv(t, stack.Config{})
	other.withRegistry(t, store)
	other.docker(t, "pull", base)
	id := other.docker(t, "create", base, "/x")
	defer other.remove(t, id)
	other.copyIn(t, id)
	other.docker(t, "commit", id, name)
	if _, layers := other.pushLayers(t, name); len(layers) != 2 || uploads(layers) != 1 {
		t.Errorf("these layers were pushed: %v", layers)
	}
	for _, stock := range readers {
		stock.holds(t, name, "base", "copied")
	}
}

func pushesBuild(t *testing.T, fork, stock *env, base string) {
	name := registry + "/built:1"
	dockerfile := "FROM " + base + "\nRUN rm -r /tree/gone && echo built > /tree/built\nLABEL a=b\nCMD [\"/fstool\", \"list\", \"/tree\"]\n"
	if out, err := fork.build(t, dockerfile, "-t", name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fork.docker(t, "rmi", "-f", base)
	if _, layers := fork.pushLayers(t, name); len(layers) != 3 || uploads(layers) != 1 {
		t.Errorf("these layers were pushed: %v", layers)
	}
	tree := fork.docker(t, "run", "--rm", name)
	stock.docker(t, "pull", name)
	stock.sees(t, name, tree)
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
