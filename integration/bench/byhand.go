package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// errByCommit is for what contestants without revisions do by committing.
var errByCommit = errdefs.ErrNotImplemented.WithMessage("states are kept by committing images")

func (d *docker) keeper() bool { return false }

func (d *docker) snapshot(context.Context, string, string) (time.Duration, error) {
	return 0, errByCommit
}

func (d *docker) start(ctx context.Context, container string) (time.Duration, error) {
	return d.api.post(ctx, "/containers/"+container+"/start", nil, nil)
}

// rollback replaces the container by one of the image of the state.
func (d *docker) rollback(ctx context.Context, container, state string, o replacement) (time.Duration, error) {
	return timed(
		func() error { return d.discard(ctx, container, o) },
		func() error { return d.create(ctx, state, container, o.args) },
		func() error { return d.startIf(ctx, container, o.runs) },
	)
}

// upgrade copies what the container wrote into one of the new image, which
// takes its place.
func (d *docker) upgrade(ctx context.Context, container, image string, o replacement) (time.Duration, error) {
	next := container + "-new"
	return timed(
		func() error { return d.create(ctx, image, next, o.args) },
		func() error { return d.copy(ctx, container, next, o.path) },
		func() error { return d.discard(ctx, container, o) },
		func() error { return d.rename(ctx, next, container) },
		func() error { return d.startIf(ctx, container, o.runs) },
	)
}

// timed is the time of several commands.
func timed(commands ...func() error) (time.Duration, error) {
	began := time.Now()
	for _, command := range commands {
		if err := command(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// discard makes room for the container's replacement.
func (d *docker) discard(ctx context.Context, container string, o replacement) error {
	if o.aside == "" {
		return d.api.remove(ctx, "/containers/"+container+"?force=1&v=1")
	}
	if _, err := d.api.post(ctx, "/containers/"+container+"/kill", nil, nil); err != nil && !errdefs.IsConflict(err) {
		return err
	}
	return d.rename(ctx, container, o.aside)
}

func (d *docker) rename(ctx context.Context, from, to string) error {
	_, err := d.api.post(ctx, "/containers/"+from+"/rename?name="+to, nil, nil)
	return err
}

// create is docker.run without the start.
func (d *docker) create(ctx context.Context, image, container string, args []string) error {
	_, err := d.api.post(ctx, "/containers/create?name="+container, map[string]any{
		"Image": image,
		"Cmd":   slices.Concat([]string{mountedInside}, args),
		"HostConfig": map[string]any{
			"NetworkMode": "none", "Binds": []string{d.arena.control() + ":" + mountedControl},
		},
	}, nil)
	return err
}

func (d *docker) startIf(ctx context.Context, container string, runs bool) error {
	if !runs {
		return nil
	}
	_, err := d.start(ctx, container)
	return err
}

// copy hands a tar file of what is at a path from one container to another, as
// `docker cp from:path - | docker cp - to:…` does.
func (d *docker) copy(ctx context.Context, from, to, what string) error {
	archive := func(container, what string) string {
		return "/containers/" + container + "/archive?path=" + url.QueryEscape(what)
	}
	source, err := d.api.send(ctx, http.MethodGet, archive(from, what), "", nil)
	if err != nil {
		return err
	}
	defer source.Body.Close()
	if source.StatusCode >= 300 {
		return fmt.Errorf("copy %s of %s: %s: %w", what, from, source.Status, message(source.Body))
	}
	target, err := d.api.send(ctx, http.MethodPut, archive(to, path.Dir(what)), typeTar, source.Body)
	if err != nil {
		return err
	}
	defer target.Body.Close()
	if target.StatusCode >= 300 {
		return fmt.Errorf("copy %s to %s: %s: %w", what, to, target.Status, message(target.Body))
	}
	_, err = io.Copy(io.Discard, target.Body)
	return err
}

func (p *podman) keeper() bool { return false }

func (p *podman) snapshot(context.Context, string, string) (time.Duration, error) {
	return 0, errByCommit
}

func (p *podman) start(ctx context.Context, container string) (time.Duration, error) {
	return p.timed(ctx, "start", container)
}

func (p *podman) rollback(ctx context.Context, container, state string, o replacement) (time.Duration, error) {
	commands := p.discard(container, o)
	verb := []string{"create"}
	if o.runs {
		verb = []string{"run", "--detach"}
	}
	return p.together(ctx, append(commands, slices.Concat(verb, p.container(state, container, o.args))))
}

func (p *podman) upgrade(ctx context.Context, container, image string, o replacement) (time.Duration, error) {
	next := container + "-new"
	commands := [][]string{
		slices.Concat([]string{"create"}, p.container(image, next, o.args)),
		{"cp", container + ":" + o.path, next + ":" + path.Dir(o.path)},
	}
	commands = append(commands, p.discard(container, o)...)
	commands = append(commands, []string{"rename", next, container})
	if o.runs {
		commands = append(commands, []string{"start", container})
	}
	return p.together(ctx, commands)
}

func (p *podman) discard(container string, o replacement) [][]string {
	if o.aside == "" {
		return [][]string{{"rm", "--force", "--time", "0", container}}
	}
	return [][]string{{"stop", "--time", "0", container}, {"rename", container, o.aside}}
}

// together is the time of several calls of podman.
func (p *podman) together(ctx context.Context, commands [][]string) (time.Duration, error) {
	var sum time.Duration
	for _, args := range commands {
		took, err := p.timed(ctx, args...)
		if err != nil {
			return 0, err
		}
		sum += took
	}
	return sum, nil
}
