package images_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// discard removes a blob from containerd, as `ctr content rm` does, or containerd
// itself after unpacking a layer, if it is configured so.
func discard(t *testing.T, e *harness.Env, d digest.Digest) {
	t.Helper()
	if err := e.Client.ContentStore().Delete(e.Context(t), d); err != nil {
		t.Fatal(err)
	}
}

// TestMissingLayer commits, builds and squashes on an image whose layer containerd
// does not have. The log warns of that; saving, pushing and a checkpoint say what is
// missing; and what they say to do helps.
func TestMissingLayer(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	stock := harness.Start(t, stack.Config{Flavor: stack.Stock})
	e.WithRegistry(t, t.TempDir())
	base, app := pullBack(t, e, "busybox", harness.RegistryAddress+"/base:1"), harness.RegistryAddress+"/app:1"
	backup := filepath.Join(t.TempDir(), "base.tar")
	e.Must(t, "save", "-o", backup, base)
	id := e.Run(t, base, "echo x > /x")
	layer := e.Image(t, e.Inspect(t, base, "{{.Id}}")).Manifest.Layers[0].Digest
	discard(t, e, layer)

	e.Must(t, "commit", id, app)
	warned(t, e, app, layer)
	for name, args := range map[string][]string{"built": nil, "squashed": {"--squash"}} {
		if out, err := e.Build(t, "FROM "+base+"\nRUN echo "+name+" > /y\nRUN echo z > /z\n", append(args, "-t", name)...); err != nil {
			t.Fatal(err, out)
		}
		warned(t, e, name, layer)
	}
	platform := "linux/" + runtime.GOARCH
	for _, args := range [][]string{
		{"save", app},
		{"save", harness.RegistryAddress + "/app"},
		{"save", e.Inspect(t, app, "{{.Id}}")},
		{"save", "--platform", platform, app},
		{"save", base},
		{"save", "built", "squashed"},
		{"save", "squashed"},
		{"push", app},
		{"push", "--all-tags", harness.RegistryAddress + "/app"},
		{"push", "--platform", platform, app},
		{"baleen", "checkpoint", "--no-process", "--leave-running", id, "kept"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) { lacks(t, e, layer, args...) })
	}
	if left := harness.OperationLeases(e.State(t).Leases); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	t.Run("pulling again helps", func(t *testing.T) {
		e.Must(t, "pull", base)
		savedFor(t, e, stock, app)
		e.Must(t, "push", app)
	})
	t.Run("pulling helps after the base was removed", func(t *testing.T) {
		discard(t, e, layer)
		e.Must(t, "rmi", "-f", base)
		lacks(t, e, layer, "save", app)
		e.Must(t, "pull", base)
		savedFor(t, e, stock, app)
	})
	t.Run("loading helps", func(t *testing.T) {
		discard(t, e, layer)
		lacks(t, e, layer, "save", app)
		e.Must(t, "load", "-i", backup)
		savedFor(t, e, stock, app)
	})
}

// TestSaveSomePlatforms saves images for several platforms: those that were never
// here are left out, of those that were nothing may be missing.
func TestSaveSomePlatforms(t *testing.T) {
	e := harness.Start(t, stack.Config{})
	own, other := runtime.GOARCH, "riscv64"
	for what, c := range map[string]struct {
		unpack, discard string // the architecture of that platform
		all             bool   // its manifest and config, too
		fails           bool
	}{
		"all are here":              {},
		"the other is not":          {unpack: own, discard: other, all: true},
		"the other is here in part": {unpack: own, discard: other},
		"the own one is not whole":  {unpack: own, discard: own, fails: true},
		"none is whole":             {discard: own + other, fails: true},
	} {
		t.Run(what, func(t *testing.T) {
			name := strings.ReplaceAll(what, " ", "-")
			index, manifests := multi(t, e, own, other)
			e.Tag(t, name, index)
			defer e.Must(t, "rmi", "-f", name)
			if c.unpack != "" {
				id := e.Must(t, "create", "--platform", "linux/"+c.unpack, name, "/x")
				defer e.Remove(t, id)
			}
			var layer digest.Digest
			for i, arch := range []string{own, other} {
				if !strings.Contains(c.discard, arch) {
					continue
				}
				var m ocispec.Manifest
				e.ReadJSON(t, manifests[i], &m)
				if layer == "" {
					layer = m.Layers[0].Digest
				}
				discard(t, e, m.Layers[0].Digest)
				if c.all {
					discard(t, e, m.Config.Digest)
					discard(t, e, manifests[i].Digest)
				}
			}
			if c.fails {
				lacks(t, e, layer, "save", name)
			} else if out, err := archive(t, e, "save", name); err != nil {
				t.Error(err, out)
			}
		})
	}
}

// lacks fails the test unless a command fails and says what is missing and what to do.
func lacks(t *testing.T, e *harness.Env, layer digest.Digest, args ...string) {
	t.Helper()
	out, err := archive(t, e, args...)
	if err == nil {
		t.Fatalf("docker %v did not fail:\n%.200s", args, out)
	}
	for _, want := range []string{layer.String(), "pull or load an image that has it"} {
		if !strings.Contains(out, want) {
			t.Errorf("docker %v printed %q without %q", args, out, want)
		}
	}
}

// archive runs a command; if that saves, then to a file.
func archive(t *testing.T, e *harness.Env, args ...string) (string, error) {
	t.Helper()
	if args[0] != "save" {
		return e.Try(t, args...)
	}
	file := filepath.Join(t.TempDir(), "saved.tar")
	out, err := e.Try(t, append([]string{"save", "-o", file}, args[1:]...)...)
	if _, statErr := os.Stat(file); err != nil && statErr == nil {
		t.Errorf("docker %v failed and left an archive", args)
	}
	return out, err
}

// savedFor saves an image and has another daemon, which has no part of it, run it.
func savedFor(t *testing.T, e *harness.Env, other *harness.Env, name string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saved.tar")
	e.Must(t, "save", "-o", file, name)
	other.Must(t, "load", "-i", file)
	if got := other.Must(t, "run", "--rm", name, "cat", "/x"); got != "x" {
		t.Errorf("the image that was saved and loaded holds %q", got)
	}
	other.Must(t, "rmi", name)
}

// warned checks that the log tells of an image that was made without a layer.
func warned(t *testing.T, e *harness.Env, name string, layer digest.Digest) {
	t.Helper()
	id, log := e.Inspect(t, name, "{{.Id}}"), e.LogTail(stack.Dockerd, 50)
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "level=warning") && strings.Contains(line, id) && strings.Contains(line, layer.String()) {
			return
		}
	}
	t.Errorf("the log does not warn of image %s:\n%s", name, log)
}
