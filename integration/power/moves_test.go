package power_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
)

// moving is a container that is upgraded and rolled back, between versions of an
// image. It is stopped.
const moving = "moving"

const (
	// movingVersions is how many there are, from 1.
	movingVersions = 3
	// movingLook is what a version does: all that it prints tells which it is.
	movingLook = `echo %d; cat /version /files/*; test ! -e /only-%d && cat /only-%d /mine`
)

// imageOfVersion is the name of a version, whose files are as many and as long as
// those of a change.
func imageOfVersion(v int) string { return fmt.Sprint("version:", v) }

// versionFile is what the i-th file of a version holds.
func versionFile(v, i int) string {
	return strings.Repeat(fmt.Sprintf("%d of %d\n", i, v), i*i*changeSize/8)
}

// otherVersion is one of which the file of its own must not be there.
func otherVersion(v int) int { return v%movingVersions + 1 }

// versionSays is what a container of a version prints.
func versionSays(v int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d\n%d\n", v, v)
	for i := 1; i <= changeFiles; i++ {
		text.WriteString(versionFile(v, i))
	}
	fmt.Fprintf(&text, "%d\nmine", v)
	return text.String()
}

// makeMoving makes the versions, and the container of the first.
func makeMoving(t *testing.T, e *harness.Env) {
	t.Helper()
	for v := 1; v <= movingVersions; v++ {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "files"), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= changeFiles; i++ {
			harness.WriteFile(t, filepath.Join(dir, "files", fmt.Sprintf("%02d", i)), versionFile(v, i))
		}
		harness.WriteFile(t, filepath.Join(dir, "version"), fmt.Sprintln(v))
		harness.WriteFile(t, filepath.Join(dir, fmt.Sprint("only-", v)), fmt.Sprintln(v))
		look := fmt.Sprintf(movingLook, v, otherVersion(v), v)
		harness.WriteFile(t, filepath.Join(dir, "Dockerfile"), fmt.Sprintf("FROM busybox\nLABEL version=%d\nCOPY . /\nCMD %s\n", v, look))
		cmd := e.Docker(t.Context(), "build", "-q", "-t", imageOfVersion(v), dir)
		cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
		if out, err := harness.Output(cmd); err != nil {
			t.Fatalf("docker build: %v\n%s", err, out)
		}
	}
	e.Must(t, "create", "--network", "none", "--name", moving, imageOfVersion(1))
	file := filepath.Join(t.TempDir(), "mine")
	harness.WriteFile(t, file, "mine\n")
	e.Must(t, "cp", file, moving+":/mine")
}

// moves are the versions that a container was to have, in order.
type moves struct {
	mu     sync.Mutex
	begun  []int // the first was there before
	is     int   // the index of that which was acknowledged last
	before int   // the version that a rollback leads to; 0 if that is unknown
}

func newMoves() *moves { return &moves{begun: []int{1}} }

// acknowledged is how many moves were.
func (m *moves) acknowledged() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.is
}

// since are the versions that the container may have, if n moves had been
// acknowledged.
func (m *moves) since(n int) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.begun[n:])
}

// move upgrades the container, or takes an upgrade back.
func (m *moves) move(ctx context.Context, e *harness.Env, random *rand.Rand) error {
	m.mu.Lock()
	now, to := m.begun[m.is], m.before
	args := []string{"baleen", "rollback", moving}
	m.before = 0
	if to == 0 || random.IntN(2) == 0 {
		to = now%movingVersions + 1
		args = []string{"baleen", "upgrade", moving, imageOfVersion(to)}
		m.before = now
	}
	m.begun = append(m.begun, to)
	m.mu.Unlock()
	if out, err := harness.Output(e.Docker(ctx, args...)); err != nil {
		return fmt.Errorf("docker %q: %w: %s", args, err, out)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.is = len(m.begun) - 1
	return nil
}

// moved checks that the container has one of some versions as a whole, and starts;
// and that each of its revisions is of one version. kept is how many revisions it
// has at least.
func (s *survivor) moved(t *testing.T, versions []int, kept int) error {
	t.Helper()
	record, err := s.Try(t, "inspect", "-f", `{{.Id}} {{.Config.Image}} {{index .Config.Labels "version"}} {{.Image}}`, moving)
	if err != nil {
		return fmt.Errorf("docker inspect: %w: %s", err, record)
	}
	var id, image, imageID string
	var v int
	if _, err := fmt.Sscan(record, &id, &image, &v, &imageID); err != nil {
		return fmt.Errorf("docker inspect says %q: %w", record, err)
	}
	if !slices.Contains(versions, v) || image != imageOfVersion(v) {
		return fmt.Errorf("after the moves to %v the container is of %q", versions, record)
	}
	want, err := s.Try(t, "image", "inspect", "-f", "{{.Id}}", image)
	if err != nil {
		return fmt.Errorf("docker image inspect: %w: %s", err, want)
	}
	if want != imageID {
		return fmt.Errorf("%s is image %s and the container is of %s", image, want, imageID)
	}
	says, err := s.Try(t, "start", "-a", moving)
	if err != nil {
		return fmt.Errorf("docker start: %w: %s", err, says)
	}
	if says != versionSays(v) {
		return fmt.Errorf("the container of version %d says %.200q", v, says)
	}
	return s.movedRevisions(t, id, kept)
}

func (s *survivor) movedRevisions(t *testing.T, id string, kept int) error {
	t.Helper()
	status, answer := s.Request(t, http.MethodGet, harness.APIVersion+"/containers/"+id+"/revisions", "")
	var list []api.Revision
	if err := json.Unmarshal([]byte(answer), &list); err != nil || status != http.StatusOK {
		return fmt.Errorf("list revisions of %s: %d %s", moving, status, answer)
	}
	var errs []error
	if len(list) < kept {
		errs = append(errs, fmt.Errorf("there are %d revisions after %d moves", len(list), kept))
	}
	for _, r := range list {
		if err := s.ofVersion(t, fmt.Sprintf("%s.r%d", id, r.Number), r.Image); err != nil {
			errs = append(errs, fmt.Errorf("revision %d: %w", r.Number, err))
		}
	}
	return errors.Join(errs...)
}

// ofVersion checks that a snapshot has the files of a version, and the container's.
func (s *survivor) ofVersion(t *testing.T, name, image string) (err error) {
	t.Helper()
	var v int
	if _, err := fmt.Sscanf(image, "version:%d", &v); err != nil {
		return fmt.Errorf("it is of %q: %w", image, err)
	}
	sn, ctx, view := s.Client.SnapshotService(s.snapshotter), s.Context(t), "check of "+name
	mounts, err := sn.View(ctx, view, name, snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sn.Remove(ctx, view)) }()
	return mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		errs := []error{holds(filepath.Join(root, "version"), fmt.Sprintln(v)), holds(filepath.Join(root, "mine"), "mine\n")}
		for i := 1; i <= changeFiles; i++ {
			errs = append(errs, holds(filepath.Join(root, "files", fmt.Sprintf("%02d", i)), versionFile(v, i)))
		}
		return errors.Join(errs...)
	})
}
