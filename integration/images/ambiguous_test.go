package images_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestAmbiguousName: the name of no image can be "sha256", in the words and for
// the verbs of the graph drivers. One could not be told from an id.
func TestAmbiguousName(t *testing.T) {
	const refusal = "refusing to create an ambiguous tag using digest algorithm as name"
	e := harness.Start(t, stack.Config{}, "busybox")
	registry, err := e.StartRegistry(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pushed := registry + "/sha256:abc"
	e.Must(t, "tag", "busybox", pushed) // by its whole name it cannot be taken for one
	e.Must(t, "push", "-q", pushed)
	id := e.Run(t, "busybox", "echo new > /new")
	renamed := renamedArchive(t, e, "busybox:latest", "sha256:abc")
	call := func(args ...string) func() (string, error) {
		return func() (string, error) { return e.Try(t, args...) }
	}
	for _, c := range []struct {
		name string
		do   func() (string, error)
		left int // images without a name, as the graph drivers leave them
	}{
		{"commit", call("commit", id, "sha256:abc"), 0},
		{"commit without a tag", call("commit", id, "sha256"), 0},
		{"commit by the whole name", call("commit", id, "docker.io/library/sha256:abc"), 0},
		{"tag", call("tag", "busybox", "sha256:abc"), 0},
		{"pull", call("pull", "sha256:abc"), 0},
		{"import", piped(t, e, harness.TarOf(t, "file", "text\n"), "import", "-", "sha256:abc"), 0},
		{"load", piped(t, e, renamed, "load"), 0},
		{"checkpoint", call("baleen", "checkpoint", "--no-process", id, "sha256:abc"), 0},
		{"classic build", func() (string, error) { return e.Build(t, "FROM busybox\nLABEL a=b\n", "-t", "sha256:abc") }, 1},
		{"BuildKit", func() (string, error) {
			// It looks at the name before it asks the client for anything.
			status, out := e.Request(t, http.MethodPost, harness.APIVersion+"/build?version=2&t=sha256:abc&remote=client-session&session=none", "")
			if status == http.StatusOK {
				return out, nil
			}
			return out, errors.New(http.StatusText(status))
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := strings.Fields(e.Must(t, "images", "-aq"))
			out, err := c.do()
			if err == nil || !strings.Contains(out, refusal) {
				t.Errorf("%v: %s", err, out)
			}
			after := strings.Fields(e.Must(t, "images", "-aq"))
			if len(after) != len(before)+c.left {
				t.Errorf("there were the images %q, and there are %q", before, after)
			}
		})
	}
	if out := e.Must(t, "images", "--format", "{{.Repository}}:{{.Tag}}"); strings.Contains("\n"+out, "\nsha256:") {
		t.Errorf("there are the images\n%s", out)
	}
	// A repository of that name elsewhere is not ambiguous.
	e.Must(t, "rmi", pushed)
	e.Must(t, "pull", "-q", pushed)
}

// piped returns a docker command that is given an input.
func piped(t *testing.T, e *harness.Env, stdin []byte, args ...string) func() (string, error) {
	return func() (string, error) {
		cmd := e.Docker(t.Context(), args...)
		cmd.Stdin = bytes.NewReader(stdin)
		return harness.Output(cmd)
	}
}

// renamedArchive saves an image, and gives it another name in the archive.
func renamedArchive(t *testing.T, e *harness.Env, image, name string) []byte {
	t.Helper()
	var saved, renamed bytes.Buffer
	cmd := e.Docker(t.Context(), "save", image)
	cmd.Stdout = &saved
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	from := strings.NewReplacer(`"docker.io/library/`+image, `"docker.io/library/`+name, `"`+image, `"`+name)
	w := tar.NewWriter(&renamed)
	for r := tar.NewReader(&saved); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "index.json" || h.Name == "manifest.json" {
			text = []byte(from.Replace(string(text)))
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return renamed.Bytes()
}
