package build_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestImageThatABuildReplaced: BuildKit gives an image's name to the next build and keeps
// no record of the first. Containers of the first are committed and upgraded all the same,
// and the image goes with the last of them.
func TestImageThatABuildReplaced(t *testing.T) {
	harness.NeedBuildx(t)
	e := harness.Start(t, stack.Config{}, "busybox")
	build := func(version string) {
		t.Helper()
		text := "FROM busybox\nRUN mkdir /app && echo " + version + " > /app/version\nCMD [\"sleep\", \"600\"]\n"
		if out, err := e.BuildWithBuildKit(t, text, "--provenance=false", "-t", "app"); err != nil {
			t.Fatalf("build version %s: %v\n%s", version, err, out)
		}
	}
	build("1")
	first := e.Must(t, "image", "inspect", "-f", "{{.Id}}", "app")
	for _, name := range []string{"committed", "upgraded"} {
		e.Must(t, "run", "-d", "--name", name, "--stop-timeout=0", "app", "sh", "-c", "echo mine > /note; exec sleep 600")
	}
	build("2")
	e.CollectGarbage(t)
	if out, err := e.Try(t, "image", "inspect", first); err == nil {
		t.Fatalf("BuildKit has kept the first image, so this tests nothing:\n%s", out)
	}

	e.Must(t, "commit", "committed", "kept")
	if got := e.Must(t, "run", "--rm", "kept", "cat", "/app/version", "/note"); got != "1\nmine" {
		t.Errorf("the committed image has %q", got)
	}
	e.Must(t, "save", "-o", t.TempDir()+"/kept.tar", "kept")
	e.Must(t, "baleen", "upgrade", "--health-timeout", "1s", "upgraded", "app")
	if got := e.Must(t, "exec", "upgraded", "cat", "/app/version", "/note"); got != "2\nmine" {
		t.Errorf("the upgraded container has %q", got)
	}
	e.Must(t, "baleen", "rollback", "upgraded")
	if got := e.Must(t, "exec", "upgraded", "cat", "/app/version"); got != "1" {
		t.Errorf("the container that went back has %q", got)
	}
	if out := e.Must(t, "baleen", "check"); !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("docker baleen check says:\n%s", out)
	}

	e.Must(t, "rm", "-f", "committed", "upgraded")
	e.Must(t, "rmi", "kept")
	e.CollectGarbage(t)
	if _, err := e.Client.ContentStore().Info(e.Context(t), digest.Digest(first)); !errdefs.IsNotFound(err) {
		t.Errorf("nobody has the first image, and it is still there: %v", err)
	}
}
