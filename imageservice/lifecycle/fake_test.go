package lifecycle_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/check"
	"github.com/baleen-project/baleen/imageservice/internal/pause"
	"github.com/baleen-project/baleen/imageservice/lifecycle"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

const id = "0123456789abcdef"

// world is a daemon with one container, and what containerd and the disk have of it. It
// has the roles of package lifecycle, and behaves as the daemon does where it does not
// fail. The container's image is "old" or "new".
type world struct {
	t   *testing.T
	c   *moby.Container
	ops *lifecycle.Operations

	mu       sync.Mutex
	calls    []string          // of the roles, in order
	at       func(n int) error // is called at the nth call, before it has effect; its error is the call's
	files    string            // the image that the container's files are of
	saved    string            // the image in the record on disk
	open     int               // prepared moves that have not ended
	mounts   int               // of the container's root
	volumes  map[string]bool   // names
	had      []string          // volumes of an upgrade that the state of the files has
	events   []string          // "upgrade 2"
	shutdown bool              // the daemon shuts down
	again    bool              // the container runs when it has been stopped
	started  func()            // runs when the container has started; nil for nothing
	halfway  error             // Run switches the files, and returns this
	lost     error             // the layer cannot be loaded
	canLose  bool              // what is lost can be given up
	doubtful bool              // the layer is to be loaded again
	task     *task             // containerd's
	images   []revisions.Image
	plan     api.Plan
	to       *moby.ContainerConfig // of the image "new"

	others     []*moby.Container                   // of the daemon
	usage      map[string]containerstore.DiskUsage // by the container's name
	upgradedTo string                              // the image of the last prepared upgrade
}

// newWorld returns a daemon whose container has the image "old", and runs or not.
func newWorld(t *testing.T, runs bool) *world {
	w := &world{t: t, c: moby.NewContainer(id, t.TempDir()), files: "old", saved: "old", volumes: map[string]bool{}}
	w.c.Name = "/web"
	w.c.HostConfig = &moby.HostConfig{}
	w.c.Config = &moby.ContainerConfig{Image: "old", Cmd: []string{"serve"}}
	w.c.State.Running = runs
	w.to = &moby.ContainerConfig{Image: "new", Entrypoint: []string{"run"}, Cmd: []string{"serve"}}
	images := lifecycle.NewImages(store{w})
	images.Use(w)
	w.ops = lifecycle.New(lifecycle.Config{Daemon: w, Files: w, Tasks: w, Freezer: w, Images: images})
	return w
}

var errFault = errors.New("it fails")

// call notes a call of a role, and returns its failure.
func (w *world) call(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, name)
	if w.at == nil {
		return nil
	}
	n, at := len(w.calls), w.at
	w.mu.Unlock()
	defer w.mu.Lock()
	return at(n)
}

// failing returns a function for at with which the nth call of a role fails, from 1.
func (w *world) failing(name string, nth int) func(int) error {
	return func(int) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.calls[len(w.calls)-1] != name {
			return nil
		}
		if nth--; nth == 0 {
			return errFault
		}
		return nil
	}
}

func (w *world) GetContainer(name string) (*moby.Container, error) {
	for _, c := range w.others {
		if c.ID == name {
			return c, nil
		}
	}
	if name != "web" {
		return nil, cerrdefs.ErrNotFound.WithMessage("No such container: " + name)
	}
	return w.c, nil
}

func (w *world) Stop(_ context.Context, c *moby.Container) error {
	if err := w.call("stop"); err != nil {
		return err
	}
	c.State.Lock()
	defer c.State.Unlock()
	c.HasBeenManuallyStopped = true
	c.State.Running, c.State.Restarting = w.again, false
	return nil
}

func (w *world) Start(ctx context.Context, c *moby.Container) error {
	if err := w.call("start"); err != nil {
		return err
	}
	c.State.Lock()
	err := w.ops.MayStart(ctx, c)
	if err == nil && c.State.RemovalInProgress {
		err = errors.New("the container is marked for removal")
	}
	if err != nil {
		c.State.Unlock()
		return err
	}
	c.HasBeenManuallyStopped, c.RestartCount = false, 0
	c.State.Running = true
	c.State.Unlock()
	if w.started != nil {
		w.started()
	}
	return nil
}

func (w *world) Kill(_ context.Context, c *moby.Container) error {
	if err := w.call("kill"); err != nil {
		return err
	}
	c.State.Lock()
	defer c.State.Unlock()
	c.State.Running = false
	return nil
}

func (w *world) IsShuttingDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shutdown
}

func (w *world) Save(_ context.Context, c *moby.Container) error {
	if err := w.call("save"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved = c.Config.Image
	return nil
}

func (w *world) IsProbed(c *moby.Container) bool { return c.Config.Healthcheck != nil }

func (w *world) MakeWorkDir(*moby.Container) error { return w.call("workdir") }

func (w *world) Add(_ context.Context, c *moby.Container, path string) error {
	name := "volume of " + path
	w.mu.Lock()
	w.volumes[name] = true
	w.mu.Unlock()
	c.MountPoints[path] = &moby.MountPoint{Destination: path, Volume: volume{name: name}}
	return w.call("add") // the last step of it fails
}

func (w *world) Fill(context.Context, *moby.Container, string) error { return w.call("fill") }

func (w *world) Release(_ context.Context, _ *moby.Container, name string) error {
	if err := w.call("release"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.volumes, name)
	return nil
}

func (w *world) Remove(_ context.Context, _ *moby.Container, name string) error {
	if err := w.call("remove"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.volumes, name)
	return nil
}

func (w *world) MountUnnoted(moby.RWLayer) (string, error) {
	if err := w.call("mount"); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mounts++
	return filepath.Join(w.c.Root, "rootfs"), nil
}

func (w *world) Unmount(*moby.Container) error {
	w.mu.Lock()
	w.mounts--
	w.mu.Unlock()
	return w.call("unmount")
}

func (w *world) Log(_ *moby.Container, action moby.EventAction, attributes map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, strings.TrimSpace(string(action)+" "+attributes["revision"]+" "+attributes["from"]))
}

func (w *world) Pause(context.Context, *moby.Container) pause.Func { return nil }

func (w *world) GiveUpLost(context.Context, *moby.Container, int, moby.InitLayerFunc) (bool, error) {
	if err := w.call("give up"); err != nil || !w.canLose {
		return false, err
	}
	w.lost = nil
	return true, nil
}

func (w *world) LoadLayer(ctx context.Context, _ *moby.Container, _ moby.InitLayerFunc) (moby.RWLayer, *revisions.State, error) {
	if err := w.call("load"); err != nil {
		return layer{}, nil, err
	}
	if err := errors.Join(w.lost, ctx.Err()); err != nil {
		return layer{}, nil, err
	}
	w.doubtful = false
	state := w.state()
	return layer{}, &state, nil
}

func (w *world) LoadImageMount(context.Context, string) (moby.RWLayer, error) {
	return layer{}, w.call("load image mount")
}

func (w *world) IsDoubtful(l moby.RWLayer) bool { return l != nil && w.doubtful }

func (w *world) Snapshot(ctx context.Context, _ *moby.Container, _ revisions.SnapshotOptions) (api.Revision, error) {
	if err := w.call("snapshot"); err != nil {
		return api.Revision{}, err
	}
	return api.Revision{Number: 1}, ctx.Err()
}

func (w *world) Revisions(context.Context, *moby.Container) ([]api.Revision, error) {
	return []api.Revision{{Number: 1}}, w.call("revisions")
}

func (w *world) DiskUsage(_ context.Context, c *moby.Container) (containerstore.DiskUsage, error) {
	if c.Name == "/broken" {
		return containerstore.DiskUsage{}, errFault
	}
	return w.usage[c.Name], nil
}

func (w *world) PruneRevisions(context.Context, *moby.Container, api.PruneRequest) (api.PruneReport, error) {
	return api.PruneReport{Removed: []int{1}}, w.call("prune")
}

func (w *world) Check(context.Context, check.Containers, string, api.CheckRequest) (api.CheckReport, error) {
	return api.CheckReport{}, w.call("check")
}

func (w *world) RevisionImages(context.Context) ([]revisions.Image, error) {
	return slices.Clone(w.images), w.call("revision images")
}

func (w *world) Shutdown(context.Context) { _ = w.call("shutdown") }

func (w *world) State(context.Context, string) (*revisions.State, error) {
	if err := w.call("state"); err != nil {
		return nil, err
	}
	state := w.state()
	return &state, nil
}

// state is that of the container's files.
func (w *world) state() revisions.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stateOf(w.files)
}

func (w *world) stateOf(image string) revisions.State {
	if image == "old" {
		return revisions.State{Volumes: w.had, Config: &moby.ContainerConfig{Image: "old", Cmd: []string{"serve"}}}
	}
	config := *w.to
	config.Volumes = maps.Clone(w.to.Volumes)
	return revisions.State{Config: &config, Volumes: w.had}
}

func (w *world) PrepareUpgrade(ctx context.Context, c *moby.Container, o revisions.UpgradeOptions) (*lifecycle.Prepared, error) {
	w.upgradedTo = o.Image
	return w.prepare(ctx, c, o.DryRun, "new", 2)
}

func (w *world) PrepareRollback(ctx context.Context, c *moby.Container, o revisions.RollbackOptions) (*lifecycle.Prepared, error) {
	if w.files == "new" { // the upgrade is taken back
		return w.prepare(ctx, c, o.DryRun, "old", o.Revision)
	}
	return w.prepare(ctx, c, o.DryRun, "new", 2)
}

func (w *world) prepare(ctx context.Context, c *moby.Container, dry bool, image string, number int) (*lifecycle.Prepared, error) {
	what := map[bool]string{true: "plan", false: "prepare"}[dry]
	if err := w.call(what); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &lifecycle.Prepared{Plan: w.plan, State: w.stateOf(image)}
	if dry {
		return p, nil
	}
	if c.State.IsRunning() {
		return nil, errors.New("the container runs")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	p.Switch = &switchTo{w: w, image: image, number: number}
	return p, nil
}

type switchTo struct {
	w      *world
	image  string
	number int
	ended  bool
}

func (s *switchTo) end() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.ended {
		s.w.t.Error("a prepared move is ended twice")
	}
	s.ended = true
	s.w.open--
}

func (s *switchTo) Run(context.Context) (before, to api.Revision, err error) {
	s.end()
	if err := s.w.call("run"); err != nil {
		return before, to, err
	}
	if s.w.c.State.IsRunning() {
		return before, to, errors.New("the container runs")
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	before = api.Revision{Number: map[string]int{"old": 1, "new": 3}[s.w.files]}
	s.w.files = s.image
	return before, api.Revision{Number: s.number}, s.w.halfway
}

func (s *switchTo) Abandon(context.Context) error {
	s.end()
	return s.w.call("abandon")
}
