package power_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// survivor is a stack on what a power cut left.
type survivor struct {
	*harness.Env
	snapshotter string
}

// check returns what is lost of what was acknowledged, and what there is of other
// that is not whole; and how much there is.
func (s *survivor) check(t *testing.T, acknowledged []keptState) (found int, lost error) {
	t.Helper()
	var errs []error
	images, err := s.images(t)
	errs = append(errs, err)
	revisions, err := s.keptRevisions(t)
	errs = append(errs, err)
	last := map[keptState]keptState{} // of each container and kind
	for _, k := range acknowledged {
		_, isImage := images[k.name()]
		_, isRevision := revisions[k]
		if !isImage && !k.revision || !isRevision && k.revision {
			errs = append(errs, fmt.Errorf("%v is lost", k))
		}
		last[keptState{container: k.container, revision: k.revision}] = k
	}
	if len(images) > 0 {
		errs = append(errs, s.inOrder(t))
	}
	for _, k := range last {
		errs = append(errs, s.use(t, k, revisions[k]))
	}
	return len(images) + len(revisions), errors.Join(errs...)
}

// images checks the files of all images that were committed, and returns their
// ids by their names.
func (s *survivor) images(t *testing.T) (map[string]string, error) {
	t.Helper()
	out, err := s.Try(t, "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	if err != nil {
		return nil, fmt.Errorf("docker images: %w: %s", err, out)
	}
	images := map[string]string{}
	var errs []error
	for line := range strings.Lines(out) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		k := parseKept(name, false)
		if k.n == 0 {
			continue
		}
		images[name] = id
		if err := s.wholeImage(t, k); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", k, err))
		}
	}
	return images, errors.Join(errs...)
}

func (s *survivor) wholeImage(t *testing.T, k keptState) error {
	t.Helper()
	out, err := s.Try(t, "image", "inspect", "-f", "{{json .RootFS.Layers}}", k.name())
	if err != nil {
		return fmt.Errorf("docker image inspect: %w: %s", err, out)
	}
	var layers []digest.Digest
	if err := json.Unmarshal([]byte(out), &layers); err != nil {
		return err
	}
	return s.wholeSnapshot(s.Context(t), k, identity.ChainID(layers).String())
}

// wholeSnapshot checks the files of a committed snapshot.
func (s *survivor) wholeSnapshot(ctx context.Context, k keptState, name string) (err error) {
	sn := s.Client.SnapshotService(s.snapshotter)
	view := "check of " + name
	mounts, err := sn.View(ctx, view, name, snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sn.Remove(ctx, view)) }()
	return mount.WithReadonlyTempMount(ctx, mounts, k.whole)
}

// keptRevisions checks the files of all revisions that were kept, and returns their
// numbers.
func (s *survivor) keptRevisions(t *testing.T) (map[keptState]int, error) {
	t.Helper()
	found := map[keptState]int{}
	var errs []error
	for _, container := range []string{running, resting} {
		id, err := s.Try(t, "inspect", "-f", "{{.Id}}", container)
		if err != nil {
			errs = append(errs, fmt.Errorf("docker inspect %s: %w: %s", container, err, id))
			continue
		}
		status, answer := s.Request(t, http.MethodGet, harness.APIVersion+"/containers/"+id+"/revisions", "")
		var list []api.Revision
		if err := json.Unmarshal([]byte(answer), &list); err != nil || status != http.StatusOK {
			errs = append(errs, fmt.Errorf("list revisions of %s: %d %s", container, status, answer))
			continue
		}
		for _, r := range list {
			k := parseKept(r.Message, true)
			found[k] = r.Number
			if err := s.wholeSnapshot(s.Context(t), k, fmt.Sprintf("%s.r%d", id, r.Number)); err != nil {
				errs = append(errs, fmt.Errorf("%v: %w", k, err))
			}
		}
	}
	return found, errors.Join(errs...)
}

// inOrder returns what docker baleen check finds, but for the containers of build steps
// whose removal was cut short. Docker removes the record of a container after its files,
// and a power cut brings it back.
func (s *survivor) inOrder(t *testing.T) error {
	t.Helper()
	out, err := s.Docker(t.Context(), "baleen", "check", "--json", "--content").Output()
	var report api.CheckReport
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		return fmt.Errorf("docker baleen check: %w: %s: %w", err, out, jsonErr)
	}
	var errs []error
	for _, f := range report.Findings {
		name, err := s.Try(t, "inspect", "-f", "{{.Name}}", f.Container)
		if err == nil && f.Kind == api.FindingNoSnapshot && !slices.Contains([]string{running, resting, moving}, strings.TrimPrefix(name, "/")) {
			continue
		}
		errs = append(errs, fmt.Errorf("docker baleen check: %+v", f))
	}
	return errors.Join(errs...)
}

// use runs an image, or goes back to a revision and runs that.
func (s *survivor) use(t *testing.T, k keptState, number int) error {
	t.Helper()
	calls := [][]string{{"run", "--rm", "--pull", "never", "--network", "none", k.name(), "cat", "/now"}}
	switch {
	case k.revision && k.container == running:
		calls = [][]string{{"baleen", "rollback", running, fmt.Sprint(number)}, {"start", running}, {"exec", running, "cat", "/now"}}
	case k.revision:
		calls = [][]string{{"baleen", "rollback", resting, fmt.Sprint(number)}, {"commit", resting, "again"}, {"run", "--rm", "--pull", "never", "--network", "none", "again", "cat", "/now"}}
	}
	var out string
	for _, args := range calls {
		var err error
		if out, err = s.Try(t, args...); err != nil {
			return fmt.Errorf("%v: docker %q: %w: %s", k, args, err, out)
		}
	}
	if out != fmt.Sprint(k.n) {
		return fmt.Errorf("%v says %q", k, out)
	}
	return nil
}

// complaints returns what dockerd calls errors, but for what it says of
// containers in which images were built: their snapshots can go before their
// records. Stock says so too, and of the container that ran that its root cannot
// be unmounted, and of the output of a command that ends at once that it cannot
// be copied.
func (s *survivor) complaints(t *testing.T) error {
	t.Helper()
	ours, err := s.Try(t, "inspect", "-f", "{{.Id}}", running, resting, moving)
	if err != nil {
		return fmt.Errorf("docker inspect: %w: %s", err, ours)
	}
	var errs []error
	for line := range strings.Lines(s.LogTail(stack.Dockerd, 2000)) {
		if !strings.Contains(line, "level=error") && !strings.Contains(line, "level=fatal") {
			continue
		}
		_, container, of := strings.Cut(line, " container=")
		id, _, _ := strings.Cut(container, " ")
		if of && !strings.Contains(ours, id) || strings.Contains(line, "error unmounting container") || strings.Contains(line, "reading from a closed fifo") {
			continue
		}
		errs = append(errs, errors.New(strings.TrimSpace(line)))
	}
	return errors.Join(errs...)
}
