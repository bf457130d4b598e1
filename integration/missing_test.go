package integration_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/stack"
)

// discard removes a blob from containerd, as `ctr content rm` does, or containerd
// itself after unpacking a layer, if it is configured so.
func (e *env) discard(t *testing.T, d digest.Digest) {
	t.Helper()
	if err := e.client.ContentStore().Delete(e.ctx(t), d); err != nil {
		t.Fatal(err)
	}
}

// TestMissingLayer commits, builds and squashes on an image whose layer containerd
// does not have. The log warns of that; saving, pushing and a checkpoint say what is
// missing; and what they say to do helps.
func TestMissingLayer(t *testing.T) {
	e := newEnv(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	stock := newEnv(t, stack.Config{Flavor: stack.Stock})
	e.withRegistry(t, t.TempDir())
	base, app := e.pullBack(t, "busybox", registry+"/base:1"), registry+"/app:1"
	backup := filepath.Join(t.TempDir(), "base.tar")
	e.docker(t, "save", "-o", backup, base)
	id := e.run(t, base, "echo x > /x")
	layer := e.image(t, e.inspect(t, base, "{{.Id}}")).manifest.Layers[0].Digest
	e.discard(t, layer)

	e.docker(t, "commit", id, app)
	e.warned(t, app, layer)
	for name, args := range map[string][]string{"built": nil, "squashed": {"--squash"}} {
		if out, err := e.build(t, "FROM "+base+"\nRUN echo "+name+" > /y\nRUN echo z > /z\n", append(args, "-t", name)...); err != nil {
			t.Fatal(err, out)
		}
		e.warned(t, name, layer)
	}
	platform := "linux/" + runtime.GOARCH
	for _, args := range [][]string{
		{"save", app},
		{"save", registry + "/app"},
		{"save", e.inspect(t, app, "{{.Id}}")},
		{"save", "--platform", platform, app},
		{"save", base},
		{"save", "built", "squashed"},
		{"save", "squashed"},
		{"push", app},
		{"push", "--all-tags", registry + "/app"},
		{"push", "--platform", platform, app},
		{"baleen", "checkpoint", "--no-process", "--leave-running", id, "kept"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) { e.lacks(t, layer, args...) })
	}
	if left := operations(e.state(t).leases); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	t.Run("pulling again helps", func(t *testing.T) {
		e.docker(t, "pull", base)
		e.savedFor(t, stock, app)
		e.docker(t, "push", app)
	})
	t.Run("pulling helps after the base was removed", func(t *testing.T) {
		e.discard(t, layer)
		e.docker(t, "rmi", "-f", base)
		e.lacks(t, layer, "save", app)
		e.docker(t, "pull", base)
		e.savedFor(t, stock, app)
	})
	t.Run("loading helps", func(t *testing.T) {
		e.discard(t, layer)
		e.lacks(t, layer, "save", app)
		e.docker(t, "load", "-i", backup)
		e.savedFor(t, stock, app)
	})
}

// TestSaveSomePlatforms saves images for several platforms: those that were never
// here are left out, of those that were nothing may be missing.
func TestSaveSomePlatforms(t *testing.T) {
	e := newEnv(t, stack.Config{})
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
			index, manifests := e.multi(t, own, other)
			e.tag(t, name, index)
			defer e.docker(t, "rmi", "-f", name)
			if c.unpack != "" {
				id := e.docker(t, "create", "--platform", "linux/"+c.unpack, name, "/x")
				defer e.remove(t, id)
			}
			var layer digest.Digest
			for i, arch := range []string{own, other} {
				if !strings.Contains(c.discard, arch) {
					continue
				}
				var m ocispec.Manifest
				e.json(t, manifests[i], &m)
				if layer == "" {
					layer = m.Layers[0].Digest
				}
				e.discard(t, m.Layers[0].Digest)
				if c.all {
					e.discard(t, m.Config.Digest)
					e.discard(t, manifests[i].Digest)
				}
			}
			if c.fails {
				e.lacks(t, layer, "save", name)
			} else if out, err := e.archive(t, "save", name); err != nil {
				t.Error(err, out)
			}
		})
	}
}

// lacks fails the test unless a command fails and says what is missing and what to do.
func (e *env) lacks(t *testing.T, layer digest.Digest, args ...string) {
	t.Helper()
	out, err := e.archive(t, args...)
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
func (e *env) archive(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if args[0] != "save" {
		return e.try(t, args...)
	}
	file := filepath.Join(t.TempDir(), "saved.tar")
	out, err := e.try(t, append([]string{"save", "-o", file}, args[1:]...)...)
	if _, statErr := os.Stat(file); err != nil && statErr == nil {
		t.Errorf("docker %v failed and left an archive", args)
	}
	return out, err
}

// savedFor saves an image and has another daemon, which has no part of it, run it.
func (e *env) savedFor(t *testing.T, other *env, name string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saved.tar")
	e.docker(t, "save", "-o", file, name)
	other.docker(t, "load", "-i", file)
	if got := other.docker(t, "run", "--rm", name, "cat", "/x"); got != "x" {
		t.Errorf("the image that was saved and loaded holds %q", got)
	}
	other.docker(t, "rmi", name)
}

// warned checks that the log tells of an image that was made without a layer.
func (e *env) warned(t *testing.T, name string, layer digest.Digest) {
	t.Helper()
	id, log := e.inspect(t, name, "{{.Id}}"), e.LogTail(stack.Dockerd, 50)
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "level=warning") && strings.Contains(line, id) && strings.Contains(line, layer.String()) {
			return
		}
	}
	t.Errorf("the log does not warn of image %s:\n%s", name, log)
}
