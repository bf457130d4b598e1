package containers

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/soak/fsops"
	"github.com/baleen-project/baleen/integration/soak/trial"
	"github.com/baleen-project/baleen/integration/stack"
)

// tool is where containers have the soak program: the runtime mounts something
// of its own on /dev, so that the container's files have no trace of it.
const tool = "/dev/soak"

// Lab is a running engine in which trials are done, one at a time.
type Lab struct {
	*fidelity.Lab
	dir  string // of the program
	fork bool
	base string // id of the base image
}

// Open starts an engine in a mode of package fidelity. The caller must Close it.
func Open(ctx context.Context, flavor stack.Flavor, mode fidelity.Mode) (_ *Lab, err error) {
	l := &Lab{fork: flavor == stack.Fork}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(context.WithoutCancel(ctx)))
		}
	}()
	if l.dir, err = os.MkdirTemp("", "baleen-soak-"); err != nil {
		return nil, err
	}
	if err := fidelity.BuildTool(ctx, "github.com/baleen-project/baleen/integration/soak", l.program()); err != nil {
		return nil, err
	}
	mode.DaemonConfig = map[string]any{"live-restore": true} // for when it is killed
	if l.Lab, err = fidelity.Open(ctx, flavor, mode); err != nil {
		return nil, err
	}
	l.base, err = l.Call(ctx, "", "image", "inspect", "-f", "{{.Id}}", fidelity.BaseImage)
	return l, err
}

func (l *Lab) program() string { return filepath.Join(l.dir, "soak") }

// Close ends the engine and checks that nothing of it is left.
func (l *Lab) Close(ctx context.Context) error {
	var errs []error
	if l.Lab != nil {
		errs = append(errs, l.Lab.Close(ctx))
	}
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// Try does what a plan says and checks each image. It leaves no container and no
// image, and returns how many operations could be done.
func (l *Lab) Try(ctx context.Context, p trial.Plan) (steps int, err error) {
	r := &round{Lab: l, options: p.Options}
	defer func() { err = errors.Join(err, r.tidy(context.WithoutCancel(ctx))) }()
	image := l.base
	for _, ops := range p.Image {
		if err := r.start(ctx, image); err != nil {
			return r.steps, err
		}
		if image, err = r.step(ctx, ops); err != nil {
			return r.steps, err
		}
	}
	if err := r.start(ctx, image); err != nil {
		return r.steps, err
	}
	for _, ops := range p.Uppers {
		if err := r.disturbed(ctx, ops); err != nil {
			return r.steps, err
		}
	}
	return r.steps, nil
}

// round is one trial.
type round struct {
	*Lab
	options    []string
	containers []string // the last one is worked on
	parent     string   // the image that it is of
	images     []string
	steps      int
}

// start starts a container of an image.
func (r *round) start(ctx context.Context, image string) error {
	id, err := r.Run(ctx, image, "--volume="+r.program()+":"+tool+":ro")
	if err != nil {
		return err
	}
	r.containers, r.parent = append(r.containers, id), image
	return nil
}

func (r *round) container() string { return r.containers[len(r.containers)-1] }

// step does operations, then commits and checks.
func (r *round) step(ctx context.Context, ops []fsops.Op) (string, error) {
	if err := r.perform(ctx, ops, 0); err != nil {
		return "", err
	}
	return r.checked(ctx)
}

// checked commits a container that stands still, and checks the image.
func (r *round) checked(ctx context.Context) (string, error) {
	image, err := r.commit(ctx)
	if err != nil {
		return "", err
	}
	return image, r.Check(ctx, r.container(), image, r.parent, fidelity.Case{})
}

func (r *round) commit(ctx context.Context) (string, error) {
	image, err := r.Call(ctx, "", "commit", r.container())
	if err == nil {
		r.images = append(r.images, image)
	}
	return image, err
}

// perform does operations in the container, at intervals.
func (r *round) perform(ctx context.Context, ops []fsops.Op, every time.Duration) error {
	var list bytes.Buffer
	if err := gob.NewEncoder(&list).Encode(ops); err != nil {
		return err
	}
	var out string
	err := patiently(ctx, func() (err error) {
		out, err = r.Call(ctx, list.String(), "exec", "-i", r.container(), tool, "-ops=/", "-given", "-every="+every.String())
		return err
	}, "is paused") // by a commit that began first: nothing was done
	if err != nil {
		return fmt.Errorf("perform operations: %w", err)
	}
	done, err := strconv.Atoi(strings.TrimSuffix(out, " operations done"))
	if err != nil {
		return fmt.Errorf("perform operations: the answer is %q", out)
	}
	r.steps += done
	return nil
}

// patiently does something again as long as its error says why, for a while.
func patiently(ctx context.Context, do func() error, why string) error {
	const patience, interval = 30 * time.Second, 50 * time.Millisecond
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(interval) {
		if err = do(); err == nil || !strings.Contains(err.Error(), why) {
			return err
		}
	}
	return errors.Join(err, ctx.Err())
}

// consistent asks Baleen's own check.
func (r *round) consistent(ctx context.Context) error {
	if !r.fork {
		return nil
	}
	return patiently(ctx, func() error {
		_, err := r.Call(ctx, "", "baleen", "check")
		return err
	}, "")
}

// tidy removes all that there is of containers and images.
func (r *round) tidy(ctx context.Context) error {
	var errs []error
	call := func(args ...string) {
		_, err := r.Call(ctx, "", args...)
		errs = append(errs, err)
	}
	if len(r.containers) > 0 {
		call(append([]string{"rm", "-f"}, r.containers...)...)
	}
	slices.Reverse(r.images) // children first
	for _, image := range slices.Compact(r.images) {
		call("rmi", "-f", image)
	}
	errs = append(errs, r.consistent(ctx))
	return errors.Join(errs...)
}
