package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/sys/mountinfo"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	imagespec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/stack"
)

const snapshotter = "overlayfs"

// env is a running stack with the means to look at it from all sides.
type env struct {
	*stack.Stack
	client *containerd.Client
}

func newEnv(t *testing.T, c stack.Config, images ...string) *env {
	t.Helper()
	s := stack.ForTest(t, c)
	if len(images) > 0 {
		if err := s.LoadImages(t.Context(), images...); err != nil {
			t.Fatal(err)
		}
	}
	client, err := containerd.New(s.ContainerdAddress(), containerd.WithDefaultNamespace(s.ContainerdNamespace()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &env{Stack: s, client: client}
}

// ctx is the test's context in the daemon's containerd namespace.
func (e *env) ctx(t *testing.T) context.Context {
	return namespaces.WithNamespace(t.Context(), e.ContainerdNamespace())
}

// docker runs the CLI, which must succeed, and returns what it prints, without
// the line's end.
func (e *env) docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.try(t, args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs the CLI and returns what it prints on both outputs.
func (e *env) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return output(e.Docker(t.Context(), args...))
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

// build runs the classic builder on a Dockerfile and returns what it prints.
func (e *env) build(t *testing.T, dockerfile string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	write(t, filepath.Join(dir, "file"), "from the context\n")
	cmd := e.Docker(t.Context(), append(append([]string{"build"}, args...), dir)...)
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
	return output(cmd)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run starts a container that executes a script and then sleeps, and returns
// its id once the script is done.
func (e *env) run(t *testing.T, image, script string, flags ...string) string {
	t.Helper()
	args := append([]string{"run", "-d"}, flags...)
	id := e.docker(t, append(args, image, "sh", "-c", "trap 'exit 0' TERM; { "+script+"\n}; echo ready; while :; do sleep 0.1; done")...)
	t.Cleanup(func() { e.remove(t, id) })
	e.eventually(t, "the script of "+id[:12]+" to end", func() error {
		logs := e.docker(t, "logs", id)
		if !strings.HasSuffix(logs, "ready") {
			return fmt.Errorf("so far it printed %q", logs)
		}
		return nil
	})
	return id
}

func (e *env) remove(t *testing.T, id string) {
	t.Helper()
	// The test's context has ended when clean-up runs. The command returns when
	// containerd has deleted the container's files, which are tens of thousands in
	// some tests: on a busy disk that takes minutes.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := output(e.Docker(ctx, "rm", "-f", "-v", id))
	if err != nil && !strings.Contains(out, "No such container") {
		t.Errorf("docker rm -f %s: %v\n%s", id, err, out)
	}
}

func (e *env) eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	eventually(t, what, check)
}

// eventually waits up to 20 seconds for check to succeed.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("waited in vain for %s: %v", what, err)
}

// inspect decodes one object of `docker inspect`.
func (e *env) inspect(t *testing.T, name, format string) string {
	t.Helper()
	return e.docker(t, "inspect", "-f", format, name)
}

// image is a committed image as containerd stores it.
type image struct {
	record   string
	labels   map[string]string
	target   ocispec.Descriptor
	manifest ocispec.Manifest
	config   imagespec.DockerOCIImage
}

// image reads an image by its id, with all that hangs on it.
func (e *env) image(t *testing.T, id string) image {
	t.Helper()
	ctx := e.ctx(t)
	records, err := e.client.ImageService().List(ctx, "target.digest=="+id)
	if err != nil || len(records) == 0 {
		t.Fatalf("no record of image %s: %v", id, err)
	}
	img := image{record: records[0].Name, labels: records[0].Labels, target: records[0].Target}
	e.json(t, img.target, &img.manifest)
	e.json(t, img.manifest.Config, &img.config)
	return img
}

func (e *env) json(t *testing.T, desc ocispec.Descriptor, into any) {
	t.Helper()
	text, err := content.ReadBlob(e.ctx(t), e.client.ContentStore(), desc)
	if err != nil {
		t.Fatalf("read %s: %v", desc.Digest, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("decode %s: %v", desc.Digest, err)
	}
}

// state is all that an operation could leave behind.
type state struct {
	leases, snapshots, ingests, images, mounts, paused []string
}

// buildkitLease is one under which BuildKit collects its garbage, for an instant
// now and then.
var buildkitLease = regexp.MustCompile(`^[0-9]+-.{4}$`)

// state lists what there is of each kind. Leases and snapshots of containers
// and of images are in it as well: compare two states.
func (e *env) state(t *testing.T) state {
	t.Helper()
	ctx := e.ctx(t)
	var s state
	leases, err := e.client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if len(l.Labels) == 0 && buildkitLease.MatchString(l.ID) {
			continue
		}
		s.leases = append(s.leases, fmt.Sprint(l.ID, " ", l.Labels))
	}
	err = e.client.SnapshotService(snapshotter).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		s.snapshots = append(s.snapshots, i.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ingests, err := e.client.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ingests {
		s.ingests = append(s.ingests, i.Ref)
	}
	images, err := e.client.ImageService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		s.images = append(s.images, i.Name+" "+i.Target.Digest.String())
	}
	s.mounts = e.mounts(t)
	if out := e.docker(t, "ps", "-q", "--no-trunc", "-f", "status=paused"); out != "" {
		s.paused = strings.Split(out, "\n")
	}
	for _, list := range [][]string{s.leases, s.snapshots, s.ingests, s.images, s.mounts, s.paused} {
		slices.Sort(list)
	}
	return s
}

// mounts lists the mount points below the stack's root.
func (e *env) mounts(t *testing.T) []string {
	t.Helper()
	var points []string
	for _, i := range e.mountInfo(t) {
		if strings.HasPrefix(i.Mountpoint, e.Root()+"/") {
			points = append(points, i.Mountpoint)
		}
	}
	return points
}

// mountInfo lists all mounts as the daemons see them.
func (e *env) mountInfo(t *testing.T) []*mountinfo.Info {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", e.Pid(stack.Containerd)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	infos, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// settled waits until what there is differs from before by nothing. Garbage
// collection may take a moment.
func (e *env) settled(t *testing.T, before state) {
	t.Helper()
	e.eventually(t, "the operation's leftovers to go", func() error {
		return before.compare(e.state(t))
	})
}

// compare returns an error that lists what one state has and the other lacks.
func (s state) compare(after state) error {
	var diffs []string
	for _, kind := range []struct {
		name          string
		before, after []string
	}{
		{"lease", s.leases, after.leases},
		{"snapshot", s.snapshots, after.snapshots},
		{"ingest", s.ingests, after.ingests},
		{"image", s.images, after.images},
		{"mount", s.mounts, after.mounts},
		{"paused container", s.paused, after.paused},
	} {
		for _, x := range kind.after {
			if !slices.Contains(kind.before, x) {
				diffs = append(diffs, "new "+kind.name+" "+x)
			}
		}
		for _, x := range kind.before {
			if !slices.Contains(kind.after, x) {
				diffs = append(diffs, "lost "+kind.name+" "+x)
			}
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(diffs, "\n"))
}
