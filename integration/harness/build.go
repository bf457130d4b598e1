package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/baleen-project/baleen/integration/stack"
)

// Build runs the classic builder on a Dockerfile and returns what it prints.
func (e *Env) Build(t *testing.T, dockerfile string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	WriteFile(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	WriteFile(t, filepath.Join(dir, "file"), "from the context\n")
	cmd := e.Docker(t.Context(), append(append([]string{"build"}, args...), dir)...)
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
	return Output(cmd)
}

// server is what the images of apps run: it ends when it is told to.
const server = `CMD ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]` + "\n"

// BuildApp builds an image of busybox with a file that names it, and of what the
// rest of a Dockerfile says.
func (e *Env) BuildApp(t *testing.T, name, rest string) {
	t.Helper()
	text := "FROM busybox\nRUN echo " + name + " > /version && mkdir -p /data\n" + server + rest
	if out, err := e.Build(t, text, "-t", name); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
}

// BuildApps makes two versions of an image.
func (e *Env) BuildApps(t *testing.T) {
	t.Helper()
	for _, version := range []string{"1", "2"} {
		out, err := e.Build(t, fmt.Sprintf(`FROM busybox
ENV VERSION=%[1]s KEEP=1
RUN mkdir app && echo v%[1]s > app/version && echo conf%[1]s > app/conf && echo %[1]s > app/only%[1]s && echo same > app/deleted
CMD ["sh", "-c", "cat /app/version; sleep %[1]s00"]
`, version), "-t", "app:"+version)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// NeedBuildx skips a test if the docker command has no BuildKit.
func NeedBuildx(t *testing.T) {
	t.Helper()
	needPlugin(t, "docker-buildx", "the docker command builds with BuildKit only by its plugin docker-buildx, which is not there: make buildx")
}

// NeedCompose skips a test if the docker command has no Compose.
func NeedCompose(t *testing.T) {
	t.Helper()
	needPlugin(t, "docker-compose", "the docker command's plugin docker-compose is not there: make compose")
}

func needPlugin(t *testing.T, name, reason string) {
	t.Helper()
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, name)); errors.Is(err, os.ErrNotExist) {
		t.Skip(reason)
	}
}

// BuildWithBuildKit builds with BuildKit.
func (e *Env) BuildWithBuildKit(t *testing.T, dockerfile string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	WriteFile(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	WriteFile(t, filepath.Join(dir, "file"), "from the context\n")
	return e.Try(t, append(append([]string{"buildx", "build", "--progress=plain"}, args...), dir)...)
}
