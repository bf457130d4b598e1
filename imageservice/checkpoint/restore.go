package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/checkpoint/image"
	"github.com/baleen-project/baleen/imageservice/criu"
	"github.com/baleen-project/baleen/imageservice/internal/panics"
	"github.com/baleen-project/baleen/imageservice/lifecycle/unfinished"
)

// Restorer makes containers of checkpoints. All fields are needed.
type Restorer struct {
	Checkpoints Checkpoints
	Creator     Creator
	Starter     Starter
	Cleaner     Cleaner
	Defaults    Defaults
	Events      Events
}

// StoreCheckpoints returns the checkpoints that a store has.
func StoreCheckpoints(s *image.Store) Checkpoints { return storeCheckpoints{s} }

type storeCheckpoints struct{ store *image.Store }

func (s storeCheckpoints) PrepareRestore(ctx context.Context, ref string, o image.RestoreOptions) (*Prepared, error) {
	r, err := s.store.PrepareRestore(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return &Prepared{Restore: r, Steps: r}, nil
}

// Restore makes a container of a checkpoint, and starts it. It emits what goes on, and
// the container last. When it fails, nothing remains.
func (r *Restorer) Restore(ctx context.Context, req api.RestoreRequest, emit func(api.Progress)) error {
	emit(api.Progress{Status: "looking at the checkpoint"})
	made, err := r.restore(ctx, req, emit)
	if err != nil {
		return err
	}
	emit(api.Progress{Restored: &made})
	return nil
}

func (r *Restorer) restore(ctx context.Context, req api.RestoreRequest, emit func(api.Progress)) (made api.Restored, err error) {
	defer panics.AsError(ctx, &err)
	plain, err := r.Defaults.PlainHostConfig()
	if err != nil {
		return made, err
	}
	prepared, err := r.Checkpoints.PrepareRestore(ctx, req.Ref, image.RestoreOptions{Trust: req.Trust, Plain: plain, Request: req})
	if err != nil {
		return made, err
	}
	defer func() { prepared.Steps.End(ctx, err) }()
	prepared.Bytes = emitBytes(emit)
	made, err = r.makeContainer(ctx, prepared, req, func(status string) { emit(api.Progress{Status: status}) })
	if err != nil {
		if len(prepared.Warnings) > 0 {
			emit(api.Progress{Warnings: prepared.Warnings})
		}
		err = fmt.Errorf("restore %s: %w%s", req.Ref, err, hint(err))
	}
	return made, err
}

// hints say how to let a restored container live beside another one, by what the engine
// says when they are in each other's way.
var hints = []struct{ text, hint string }{
	{"is already in use by container", "--name gives the new one another name"},
	{"port is already allocated", portHint},
	{"failed to bind host port", portHint},
	{"failed to bind port", portHint},
	{"Address already in use", "--ip or --network gives the new one another address"},
}

const portHint = "--publish gives the new one another port, --publish none publishes none"

// hint returns what to do about a failure, in parentheses; "" if nothing is known.
func hint(err error) string {
	for _, h := range hints {
		if strings.Contains(err.Error(), h.text) {
			return " (" + h.hint + ")"
		}
	}
	return ""
}

// makeContainer creates the container of a checkpoint, and starts it. It does not panic.
func (r *Restorer) makeContainer(ctx context.Context, p *Prepared, req api.RestoreRequest, status func(string)) (_ api.Restored, err error) {
	of := &restoring{prepared: p}
	defer func() {
		if err != nil {
			err = r.Cleaner.TakeBack(ctx, of.container, err)
		}
	}()
	defer panics.AsError(ctx, &err)
	if p.Process != nil && !req.CreateOnly {
		if err := criu.CheckRestore(ctx, p.CRIU); err != nil {
			return api.Restored{}, moby.NotImplemented(fmt.Errorf("cannot restore the processes of %s: %w (--create-only makes the container without them)", req.Ref, err))
		}
	}
	params, warnings, err := r.params(ctx, p, req.Name)
	if err != nil {
		return api.Restored{}, err
	}
	status("creating the container")
	created, err := r.Creator.ContainerCreate(context.WithValue(ctx, restoreKey{}, of), params)
	if err != nil {
		return api.Restored{}, err
	}
	if err := r.complete(ctx, of.container, p, req.CreateOnly, status); err != nil {
		return api.Restored{}, err
	}
	return api.Restored{
		ID: created.ID, Name: bare(of.container), Kind: p.Kind, Started: !req.CreateOnly,
		Warnings: slices.Concat(p.Warnings, warnings, created.Warnings),
	}, nil
}

// params is how the container is created. What it needs of the daemon is looked for
// before there is anything of it.
func (r *Restorer) params(ctx context.Context, p *Prepared, name string) (params moby.ContainerCreateConfig, warnings []string, err error) {
	for network := range p.Networks {
		if err := r.Creator.FindNetwork(network); err != nil && network != moby.NetworkModeDefault {
			return params, nil, moby.NotFound(fmt.Errorf("the container was connected to network %s, which this daemon does not have: create it first", network))
		}
	}
	if name == "" {
		name = p.Name
	}
	config := *p.Config
	config.Image = p.Image
	params = moby.ContainerCreateConfig{
		Name: name, Config: &config, HostConfig: p.Host,
		NetworkingConfig: &moby.NetworkingConfig{EndpointsConfig: p.Networks},
	}
	if p.Image != "" {
		params.Platform = &p.Platform
	}
	return r.Creator.AsRequested(ctx, params)
}

// complete starts a new container. It goes on if the request ends.
func (r *Restorer) complete(ctx context.Context, c *moby.Container, p *Prepared, createOnly bool, status func(string)) error {
	ctx = context.WithoutCancel(ctx)
	r.Events.Log(c, "restore", map[string]string{})
	var err error
	switch {
	case createOnly:
	case p.Process != nil:
		status("restoring the processes")
		err = r.startRestored(ctx, c, p)
	default:
		status("starting the container")
		err = r.Starter.Start(ctx, c)
	}
	if err != nil {
		return err
	}
	return unfinished.UnmarkRestored(c.Root)
}

// startRestored starts a container whose processes go on where they stood.
func (r *Restorer) startRestored(ctx context.Context, c *moby.Container, p *Prepared) (err error) {
	process, err := p.Steps.UnpackProcess(ctx)
	if err != nil {
		return compat.DockerError(err)
	}
	dir := filepath.Join(c.CheckpointDir(), unfinished.ProcessFolder)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := criu.WriteReference(dir, process); err != nil {
		return err
	}
	ctx = context.WithValue(ctx, criuFolderKey{}, dir)
	if err := r.Starter.StartFrom(ctx, c, unfinished.ProcessFolder); err != nil {
		return compat.DockerError(fmt.Errorf("restore the processes: %w%s", err, criu.RestoreErrors(dir)))
	}
	return nil
}

type restoreKey struct{}

// restoring is a restore under way. It has no container before its layer is made.
type restoring struct {
	prepared  *Prepared
	container *moby.Container
}

// NewLayer makes the writable layer of a container that the daemon creates: an empty one,
// or, if ctx is that of a restore, one with the files of the checkpoint. From before that
// the container is marked. A restored container calls its image what the container did
// that was checkpointed.
func NewLayer(ctx context.Context, layers Layers, c *moby.Container, init moby.InitLayerFunc) (moby.RWLayer, error) {
	of, ok := ctx.Value(restoreKey{}).(*restoring)
	if !ok {
		if err := unfinished.MarkCreating(c.Root); err != nil {
			return nil, err
		}
		return layers.CreateLayerContext(ctx, c, init)
	}
	if err := unfinished.MarkRestoring(c.Root); err != nil {
		return nil, err
	}
	of.container = c
	c.Config.Image = of.prepared.Config.Image
	return of.prepared.Steps.CreateLayer(ctx, c, init)
}
