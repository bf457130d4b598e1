package clientopts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/containerstore/internal/label"
	"github.com/baleen-project/baleen/containerstore/internal/snap"
)

// step is a move that is being made.
type step struct {
	parent   string                // that the new snapshot stands on
	previous int                   // the revision that it is made from
	to       containerstore.Record // what is kept of it
	spec     specAny
	// fill writes its files; nil if those of the parent are all.
	fill func(ctx context.Context, into []mount.Mount) error
	// adapt, if not nil, changes spec when the files are there.
	adapt func(ctx context.Context, moved *containers.Container) error
}

// move makes the container's next snapshot, and puts it into the caller's
// record. The snapshot that the container is on stays as it is, so the container
// moves in the instant in which the record is written, or not at all.
//
// Until then the two snapshots keep each other from being collected; from then
// on a chain of such references leads from the record to every revision.
func (p *clientContainer) move(ctx context.Context, s step) (err error) {
	s.to.Number = p.nextNumber()
	s.to.Created = time.Now().UTC()
	name := p.activeName(s.to.Number)
	if err := p.leave(ctx, s.to.Number); err != nil {
		return err
	}
	mounts, err := p.prepare(ctx, name, s)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.giveUp(ctx, name))
		}
	}()
	moved := *p.record
	moved.SnapshotKey, moved.Image = name, s.to.Image
	err = p.build(ctx, name, s, mounts, &moved)
	if err != nil {
		return err
	}
	// So far the lease has kept it.
	if err := p.Label(ctx, p.active.Name, map[string]string{p.gcRef("next"): name}); err != nil {
		return err
	}
	if err := p.Label(ctx, name, map[string]string{label.Unwritten: claimUntil()}); err != nil {
		return err
	}
	*p.record = moved
	return nil
}

func (p *clientContainer) build(ctx context.Context, name string, s step, mounts []mount.Mount, moved *containers.Container) error {
	if s.fill != nil {
		if err := s.fill(ctx, mounts); err != nil {
			return fmt.Errorf("fill snapshot %s: %w", name, err)
		}
	}
	if s.spec.TypeURL != "" {
		moved.Spec = &s.spec
	}
	if s.adapt != nil {
		if err := s.adapt(ctx, moved); err != nil {
			return err
		}
	}
	return p.NoTask(ctx) // what one wrote meanwhile would be left behind
}

// leave notes on the snapshot that the container is on what is kept of it, and
// the number of the next one.
func (p *clientContainer) leave(ctx context.Context, next int) error {
	r, err := p.present(ctx)
	if err != nil {
		return err
	}
	previous, _ := strconv.Atoi(p.active.Labels[label.Previous]) // 0 if there is none
	labels, err := containerstore.WriteRecord(ctx, p.Content, p.Container, &r, previous)
	if err != nil {
		return err
	}
	labels[label.Number] = strconv.Itoa(r.Number)
	labels[label.Last] = strconv.Itoa(next)
	labels[label.Unwritten] = "" // it is the record's
	if err := p.Label(ctx, p.active.Name, labels); err != nil {
		return err
	}
	if p.active.Labels == nil {
		p.active.Labels = labels // of a container that was made without us
	}
	maps.Copy(p.active.Labels, labels)
	p.all[p.active.Name] = p.active
	return nil
}

// present is the record of what the container is on.
func (p *clientContainer) present(ctx context.Context) (r containerstore.Record, err error) {
	switch {
	case p.active.Labels[label.Record] != "":
		if r, err = containerstore.ReadRecord(ctx, p.Content, p.active); err != nil {
			return r, err
		}
		if r.Image != p.record.Image {
			// Somebody gave the image another name.
			r.Image = p.record.Image
		}
	default:
		if r, err = p.adopted(ctx); err != nil {
			return r, err
		}
	}
	r.Number = p.current()
	if r.Config, err = specConfig(p.record.Spec); err != nil {
		return r, fmt.Errorf("keep its spec: %w", err)
	}
	return r, nil
}

// adopted is the record of a container that was not made with WithNewSnapshot.
// Its image is known if the name still leads to the snapshot that it stands on.
func (p *clientContainer) adopted(ctx context.Context) (containerstore.Record, error) {
	r := containerstore.Record{Created: p.active.Created, Kind: kindNew, Image: p.record.Image}
	if p.record.Image == "" {
		return r, nil
	}
	img, err := p.client.GetImage(ctx, p.record.Image)
	if err == nil {
		_, base := p.own(p.active)
		if chain, copied := remappedChain(base); copied {
			base = chain
		}
		chain, of, err := imageRecord(ctx, img)
		if err == nil && chain == base {
			of.Created, of.Kind = r.Created, r.Kind
			return of, nil
		}
	} else if !errdefs.IsNotFound(err) {
		return r, fmt.Errorf("look up image %s: %w", p.record.Image, err)
	}
	return r, nil
}

// prepare makes the next snapshot.
func (p *clientContainer) prepare(ctx context.Context, name string, s step) ([]mount.Mount, error) {
	labels, err := containerstore.WriteRecord(ctx, p.Content, p.Container, &s.to, s.previous)
	if err != nil {
		return nil, err
	}
	labels[label.Number] = strconv.Itoa(s.to.Number)
	labels[label.Unwritten] = claimUntil()
	// It has one name now, and the other when it is sealed.
	labels[p.gcRef("before")] = p.active.Name
	labels[p.gcRef("sealed")] = p.sealedName(p.current())
	for key, value := range p.active.Labels { // what the caller asks of the snapshotter
		if strings.HasPrefix(key, label.OfSnapshotter) {
			labels[key] = value
		}
	}
	mounts, err := p.Snapshots.Prepare(ctx, name, s.parent, snapshots.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		return nil, errMoving
	}
	if err != nil {
		return nil, fmt.Errorf("prepare snapshot %s on %q: %w", name, s.parent, err)
	}
	return mounts, nil
}

func (p *clientContainer) gcRef(what string) string {
	return label.RefSnapshot + p.Snapshotter + "/" + what
}

func claimUntil() string { return time.Now().Add(claimTime).UTC().Format(time.RFC3339Nano) }

// hold renews a claim, a label of a snapshot, until it is released.
func (p *clientContainer) hold(ctx context.Context, name, key string) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(claimTime / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := p.Label(ctx, name, map[string]string{key: claimUntil()}); err != nil && ctx.Err() == nil {
				log.G(ctx).WithError(err).Warn("could not renew the claim on a container; trying again")
			}
		}
	}()
	return func() { cancel(); <-done }
}

// giveUp removes a snapshot that was to be the next.
func (p *clientContainer) giveUp(ctx context.Context, name string) error {
	ctx, cancel := snap.Cleanup(ctx)
	defer cancel()
	return errors.Join(p.Unlabel(ctx, p.active.Name, p.gcRef("next")), p.Remove(ctx, name))
}
