package stack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

func TestBaseImagesAreWhatMobysSuitesExpect(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	// That of workloads is for our tests alone, and takes a minute.
	load(t, s, slices.DeleteFunc(baseimage.Names(), func(name string) bool { return name == "debian:workloads" })...)

	id := func(name string) string { return docker(t, s, "image", "inspect", "-f", "{{.Id}}", name) }
	if id("busybox") == id("busybox:glibc") {
		t.Error("busybox:latest and :glibc are the same image")
	}
	if id("hello-world:latest") != id("hello-world:frozen") || id("debian") != id("debian:bookworm-slim") {
		t.Error("tags of the same content are different images")
	}
	if got := docker(t, s, "image", "inspect", "-f", "{{.Architecture}}", "hello-world:arm64"); got != "arm64" {
		t.Errorf("hello-world:arm64 is for %s", got)
	}
	if got := docker(t, s, "run", "--rm", "hello-world"); !strings.Contains(got, "Hello from Docker!") {
		t.Errorf("hello-world said %q", got)
	}
	if got := docker(t, s, "run", "--rm", "debian", "cat", "/etc/debian_version"); !strings.HasPrefix(got, "12.") {
		t.Errorf("debian is %q", got)
	}
	applets := strings.Fields("sh top cat httpd nc ping wget stat touch ls sleep id su tar ip awk find dd mount sysctl")
	docker(t, s, append([]string{"run", "--rm", "busybox", "which"}, applets...)...) // fails if one is missing
	if err := s.LoadImages(t.Context(), "alpine"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "busybox:latest") {
		t.Errorf("load alpine: %v", err)
	}
}

func TestGeneratedImageIsDeterministic(t *testing.T) {
	t.Parallel()
	s := stack.ForTest(t, stock)
	layers := map[uint64]string{}
	for _, image := range []baseimage.Generated{{Name: "a", Seed: 1}, {Name: "b", Seed: 1}, {Name: "c", Seed: 2}} {
		image.Base, image.Files, image.Bytes = "busybox:latest", 1234, 5_000_000
		if err := s.GenerateImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		layer := docker(t, s, "image", "inspect", "-f", "{{.RootFS.Layers}}", image.Name)
		if before := layers[image.Seed]; before != "" && before != layer {
			t.Errorf("the same description gave %s and %s", before, layer)
		}
		layers[image.Seed] = layer
	}
	if layers[1] == layers[2] {
		t.Error("the seed makes no difference")
	}
	if got := docker(t, s, "run", "--rm", "a", "sh", "-c", "find /data -type f | wc -l; cat $(find /data -type f) | wc -c"); got != "1234\n5000000" {
		t.Errorf("got %q", got)
	}
}

func TestGeneratedImageLoadsOnEveryStore(t *testing.T) {
	t.Parallel()
	image := baseimage.Generated{Name: "store:tagged", Base: "busybox", Files: 250, Bytes: 100_000, Seed: 3}
	layers := map[string]bool{}
	for _, driver := range []string{"", "overlay2"} {
		s := stack.ForTest(t, stack.Config{Flavor: stack.Stock, StorageDriver: driver})
		if err := s.GenerateImage(t.Context(), image); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a base without its tag: %v", err)
		}
		image := image
		image.Base = "busybox:latest"
		if err := s.GenerateImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		layers[docker(t, s, "image", "inspect", "-f", "{{.RootFS.Layers}}", image.Name)] = true
		if got := docker(t, s, "run", "--rm", image.Name, "sh", "-c", "find /data -type f | wc -l; cat $(find /data -type f) | wc -c"); got != "250\n100000" {
			t.Errorf("on %q: got %q", driver, got)
		}
	}
	if len(layers) != 1 {
		t.Errorf("the stores have different layers: %v", layers)
	}
}
