package containers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/soak/fsops"
)

// interval is what operations take that a commit is to fall into.
const interval = 5 * time.Millisecond

// disturbed does operations on the live container with what the options say in
// between, and checks the image of the container after them.
func (r *round) disturbed(ctx context.Context, ops []fsops.Op) error {
	perform := func(ctx context.Context) error { return r.perform(ctx, ops, 0) }
	if slices.Contains(r.options, meanwhile) {
		perform = func(ctx context.Context) error { return r.meanwhile(ctx, ops) }
	}
	if err := perform(ctx); err != nil {
		return err
	}
	if slices.Contains(r.options, kill) {
		if err := r.kill(ctx); err != nil {
			return fmt.Errorf("with dockerd killed: %w", err)
		}
	}
	_, err := r.checked(ctx)
	return err
}

// meanwhile commits the container while operations go on: as it is, and then
// paused until the image has been compared.
func (r *round) meanwhile(ctx context.Context, ops []fsops.Op) error {
	performed := make(chan error, 1)
	go func() { performed <- r.perform(ctx, ops, interval) }()
	time.Sleep(rand.N(20 * interval))
	image, err := r.commit(ctx)
	if err == nil {
		err = r.checkPaused(ctx)
	}
	if err := errors.Join(err, <-performed); err != nil {
		return fmt.Errorf("while operations go on: %w", err)
	}
	if err := r.Check(ctx, "", image, r.parent, fidelity.Case{}); err != nil {
		return fmt.Errorf("the image of a container that went on: %w", err)
	}
	return nil
}

func (r *round) checkPaused(ctx context.Context) error {
	if _, err := r.Call(ctx, "", "pause", r.container()); err != nil {
		return err
	}
	_, err := r.checked(ctx)
	_, uerr := r.Call(context.WithoutCancel(ctx), "", "unpause", r.container())
	return errors.Join(err, uerr)
}

// kill kills dockerd during a commit and starts it again. If there is an image
// then it is whole, and the container goes on.
func (r *round) kill(ctx context.Context) error {
	committed := make(chan error, 1)
	go func() {
		_, err := r.Call(ctx, "", "commit", r.container())
		committed <- err
	}()
	time.Sleep(rand.N(300 * time.Millisecond))
	if err := errors.Join(r.KillDockerd(ctx), r.StartDockerd(ctx)); err != nil {
		return err
	}
	failed := <-committed
	found, err := r.newImages(ctx)
	if err != nil {
		return err
	}
	if failed == nil && len(found) == 0 {
		return errors.New("an image that was acknowledged is gone")
	}
	for _, image := range found {
		if err := r.Check(ctx, "", image, r.parent, fidelity.Case{}); err != nil {
			return err
		}
	}
	return errors.Join(r.thawed(ctx), r.consistent(ctx))
}

// newImages are those that this trial does not know yet.
func (r *round) newImages(ctx context.Context) ([]string, error) {
	out, err := r.Call(ctx, "", "images", "-q", "--no-trunc", "-f", "dangling=true")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, image := range strings.Fields(out) {
		if !slices.Contains(r.images, image) {
			found = append(found, image)
		}
	}
	r.images = append(r.images, found...)
	return found, nil
}

// thawed waits until a container that was paused for a commit goes on.
func (r *round) thawed(ctx context.Context) error {
	err := patiently(ctx, func() error {
		_, err := r.Call(ctx, "", "exec", r.container(), "true")
		return err
	}, "")
	if err != nil {
		return fmt.Errorf("the container does not go on: %w", err)
	}
	return nil
}
