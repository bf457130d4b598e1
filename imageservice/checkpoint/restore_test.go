package checkpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
	"github.com/baleen-project/baleen/imageservice/internal/panics"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// restores is a world in which checkpoints are restored.
type restores struct {
	*world
	found    *image.Restore // the checkpoint
	prepared int            // that have not ended
	failure  error          // of the last that has ended
	layer    bool           // the container has one
	started  string         // "start", or the folder of the dump
	params   moby.ContainerCreateConfig
}

func newRestores(t *testing.T) *restores {
	return &restores{world: newWorld(t), found: &image.Restore{
		Name: "web", Kind: "files", Config: &moby.ContainerConfig{Image: "web:1"}, Host: &moby.HostConfig{},
		Image: "sha256:image", Networks: map[string]*moby.EndpointSettings{"front": {}}, Warnings: []string{"of the checkpoint"},
	}}
}

func (w *restores) restore(ctx context.Context, req api.RestoreRequest) error {
	r := &checkpoint.Restorer{Checkpoints: w, Creator: w, Starter: w, Cleaner: w, Defaults: w, Events: w}
	return r.Restore(ctx, req, w.emit)
}

func (w *restores) PrepareRestore(_ context.Context, ref string, o image.RestoreOptions) (*checkpoint.Prepared, error) {
	if err := w.call("PrepareRestore"); err != nil {
		return nil, err
	}
	if ref != "kept" || o.Plain == nil {
		w.t.Errorf("%s, %+v", ref, o)
	}
	w.prepared++
	return &checkpoint.Prepared{Restore: w.found, Steps: w}, nil
}

func (w *restores) CreateLayer(context.Context, *moby.Container, moby.InitLayerFunc) (moby.RWLayer, error) {
	if err := w.call("CreateLayer"); err != nil {
		return nil, err
	}
	w.found.Bytes(1, 2)
	w.layer = true
	return nil, nil
}

func (w *restores) UnpackProcess(context.Context) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{Digest: "sha256:dump", Size: 3}, w.call("UnpackProcess")
}

func (w *restores) End(_ context.Context, failure error) {
	w.prepared--
	w.failure = failure
}

func (w *restores) AsRequested(_ context.Context, params moby.ContainerCreateConfig) (moby.ContainerCreateConfig, []string, error) {
	return params, []string{"of the request"}, w.call("AsRequested")
}

func (w *restores) FindNetwork(string) error { return w.call("FindNetwork") }

// Create behaves as the daemon does: a container that it cannot create is removed, with
// its folder.
func (w *restores) ContainerCreate(ctx context.Context, params moby.ContainerCreateConfig) (_ moby.CreateResponse, err error) {
	w.params = params
	c := w.container(false)
	c.Config, c.HostConfig = params.Config, params.HostConfig
	defer func() {
		if err != nil {
			w.layer = false
			err = errors.Join(err, os.RemoveAll(c.Root))
		}
	}()
	if err := w.call("Create"); err != nil {
		return moby.CreateResponse{}, err
	}
	if _, err := checkpoint.NewLayer(ctx, w, c, nil); err != nil {
		return moby.CreateResponse{}, err
	}
	return moby.CreateResponse{ID: c.ID, Warnings: []string{"of the creation"}}, w.call("register")
}

func (w *restores) CreateLayerContext(context.Context, *moby.Container, moby.InitLayerFunc) (moby.RWLayer, error) {
	w.layer = true
	return nil, w.call("CreateLayerContext")
}

func (w *restores) Start(ctx context.Context, _ *moby.Container) error { return w.start(ctx, "start") }

func (w *restores) StartFrom(ctx context.Context, c *moby.Container, name string) error {
	text, err := os.ReadFile(filepath.Join(c.CheckpointDir(), name, "baleen-descriptor.json"))
	var desc ocispec.Descriptor
	if err == nil {
		err = json.Unmarshal(text, &desc)
	}
	if err != nil || desc.Digest != "sha256:dump" {
		w.t.Errorf("the dump is %s: %v", text, err)
	}
	return w.start(ctx, name)
}

func (w *restores) start(ctx context.Context, how string) error {
	if ctx.Err() != nil {
		w.t.Error("the start ends with the request")
	}
	if err := w.call("Start"); err != nil {
		return err
	}
	w.started = how
	return nil
}

func (w *restores) TakeBack(_ context.Context, c *moby.Container, failure error) error {
	if c == nil {
		return failure
	}
	w.layer, w.started = false, ""
	return errors.Join(failure, os.RemoveAll(c.Root))
}

// left is what there is of a restore.
func (w *restores) left() (what []string) {
	if w.prepared != 0 {
		what = append(what, "what was prepared")
	}
	if w.layer {
		what = append(what, "layer")
	}
	if w.started != "" {
		what = append(what, "processes")
	}
	if w.c != nil {
		if _, err := os.Lstat(w.c.Root); err == nil {
			what = append(what, "folder")
		}
	}
	return what
}

// TestRestore is the table of how a restore comes to its end.
func TestRestore(t *testing.T) {
	for name, tc := range map[string]struct {
		process bool
		req     api.RestoreRequest
		started string
		name    string
	}{
		"files":                  {started: "start", name: "web"},
		"files, with a name":     {req: api.RestoreRequest{Name: "other"}, started: "start", name: "other"},
		"files, created only":    {req: api.RestoreRequest{CreateOnly: true}, name: "web"},
		"processes":              {process: true, started: unfinished.ProcessFolder, name: "web"},
		"processes, not started": {process: true, req: api.RestoreRequest{CreateOnly: true}, name: "web"},
	} {
		t.Run(name, func(t *testing.T) {
			criuInPath(t, "4.2.1")
			w := newRestores(t)
			if tc.process {
				w.found.Process, w.found.CRIU = &ocispec.Descriptor{}, "4.2"
			}
			tc.req.Ref = "kept"
			ctx, cancel := context.WithCancel(t.Context())
			w.fail = func(_ int, name string) error {
				if name == "register" {
					cancel() // the client has gone
				}
				return nil
			}
			if err := w.restore(ctx, tc.req); err != nil {
				t.Fatal(err)
			}
			if w.started != tc.started || w.params.Name != tc.name || !w.layer || w.prepared != 0 || w.failure != nil {
				t.Errorf("started by %q, created %q, layer %v, prepared %d, failure %v", w.started, w.params.Name, w.layer, w.prepared, w.failure)
			}
			if unfinished.IsMarked(w.c.Root) || w.c.Config.Image != "web:1" || w.params.Platform == nil {
				t.Errorf("marked %v, image %s", unfinished.IsMarked(w.c.Root), w.c.Config.Image)
			}
			if entries, err := os.ReadDir(w.c.CheckpointDir()); len(entries) > 0 {
				t.Errorf("the folder of its processes is left: %v, %v", entries, err)
			}
			made := w.last().Restored
			want := []string{"of the checkpoint", "of the request", "of the creation"}
			if made == nil || made.ID != id || made.Started != (tc.started != "") || !slices.Equal(made.Warnings, want) {
				t.Errorf("made %+v", made)
			}
			if !slices.Equal(w.events, []string{"restore"}) {
				t.Errorf("events %v", w.events)
			}
		})
	}
}

// TestRestoreFails has each call of a role fail, or panic, in turn: nothing is left.
func TestRestoreFails(t *testing.T) {
	for name, process := range map[string]*ocispec.Descriptor{"files": nil, "processes": {}} {
		for _, panicking := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				criuInPath(t, "4.2.1")
				for n := 1; ; n++ {
					w := newRestores(t)
					w.found.Process = process
					w.failNth(n)
					if fail := w.fail; panicking {
						w.fail = func(call int, name string) error {
							if err := fail(call, name); err != nil {
								panic(err)
							}
							return nil
						}
					}
					err := w.restore(t.Context(), api.RestoreRequest{Ref: "kept"})
					if len(w.calls) < n {
						return // there are no more calls
					}
					what := w.calls[n-1]
					if left := w.left(); len(left) > 0 || w.last().Restored != nil {
						t.Errorf("%s failed: left %v", what, left)
					}
					isOf := errors.Is(err, errFault) || what == "FindNetwork" && errdefs.IsNotFound(err)
					if err == nil || isOf == panicking || errors.Is(err, panics.Err) != panicking {
						t.Errorf("%s failed: %v", what, err)
					}
					if slices.Contains(w.calls[:n-1], "PrepareRestore") && w.failure == nil {
						t.Errorf("%s failed, and what was prepared stays", what)
					}
				}
			})
		}
	}
}

func TestRestoreOfNewerProcesses(t *testing.T) {
	criuInPath(t, "4.2.1")
	w := newRestores(t)
	w.found.Process, w.found.CRIU = &ocispec.Descriptor{}, "5.0"
	err := w.restore(t.Context(), api.RestoreRequest{Ref: "kept"})
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "--create-only") || slices.Contains(w.calls, "Create") {
		t.Errorf("%v, calls %v", err, w.calls)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestRestoreSaysHowToLiveBeside: a failure comes with the warnings of the checkpoint, and
// with the option that lets both containers live if one is in the other's way.
func TestRestoreSaysHowToLiveBeside(t *testing.T) {
	for text, want := range map[string]string{
		`The container name "/web" is already in use by container "1"`: "--name",
		"Bind for 0.0.0.0:80 failed: port is already allocated":        "--publish",
		"failed to bind host port 0.0.0.0:80/tcp: address in use":      "--publish none",
		"Address already in use":                                       "--ip",
		"it fails":                                                     "",
	} {
		w := newRestores(t)
		w.fail = func(_ int, name string) error {
			if name == "Start" {
				return errors.New(text)
			}
			return nil
		}
		err := w.restore(t.Context(), api.RestoreRequest{Ref: "kept"})
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "--") != (want != "") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a hint about %q", err, want)
		}
		if warnings := w.last().Warnings; !slices.Equal(warnings, []string{"of the checkpoint"}) {
			t.Errorf("the last message has the warnings %q", warnings)
		}
	}
}

func TestRestoreNamesTheNetworkThatIsMissing(t *testing.T) {
	w := newRestores(t)
	w.failAt("FindNetwork")
	err := w.restore(t.Context(), api.RestoreRequest{Ref: "kept"})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "network front") || slices.Contains(w.calls, "Create") {
		t.Errorf("%v, calls %v", err, w.calls)
	}
	w = newRestores(t)
	w.found.Networks = map[string]*moby.EndpointSettings{moby.NetworkModeDefault: {}}
	w.failAt("FindNetwork")
	if err := w.restore(t.Context(), api.RestoreRequest{Ref: "kept"}); err != nil {
		t.Error("the default network needs no name:", err)
	}
}

func TestNewLayerOfACreation(t *testing.T) {
	w := newRestores(t)
	c := w.container(false)
	if _, err := checkpoint.NewLayer(t.Context(), w, c, nil); err != nil || !w.layer || !unfinished.IsMarked(c.Root) || c.Config.Image != "web" {
		t.Errorf("%v, layer %v, marked %v", err, w.layer, unfinished.IsMarked(c.Root))
	}
	if slices.Contains(w.calls, "CreateLayer") {
		t.Error("a creation takes the layer of a restore")
	}
}
