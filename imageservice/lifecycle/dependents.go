package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// dependent is a container that shares namespaces of the one that is moved, or of another
// dependent.
type dependent struct {
	*moby.Container
	shares []string // "network"
	ran    bool     // before the move
	// signalled is that somebody had sent it a signal by docker kill, and it ran on. The
	// daemon takes that for a stop.
	signalled bool
}

// findDependents finds the containers that share namespaces of a container. Each comes after
// those whose namespaces it shares.
func (m *move) findDependents() []dependent {
	var found []dependent
	seen := map[string]bool{m.c.ID: true}
	all := m.images.ContainerStore.List()
	slices.SortFunc(all, func(a, b *moby.Container) int { return strings.Compare(a.Name, b.Name) })
	for of := []*moby.Container{m.c}; len(of) > 0; of = of[1:] {
		for _, c := range all {
			if seen[c.ID] {
				continue
			}
			if shares := m.shares(c, of[0]); len(shares) > 0 {
				seen[c.ID] = true
				found = append(found, newDependent(c, shares))
				of = append(of, c)
			}
		}
	}
	return found
}

func newDependent(c *moby.Container, shares []string) dependent {
	c.State.Lock()
	defer c.State.Unlock()
	return dependent{Container: c, shares: shares, ran: c.State.Running, signalled: c.State.Running && c.HasBeenManuallyStopped}
}

// shares returns which namespaces of another container a container has.
func (m *move) shares(c, other *moby.Container) (shares []string) {
	if c.HostConfig == nil {
		return nil
	}
	for _, ns := range []struct{ name, of string }{
		{"network", c.HostConfig.NetworkMode.ConnectedContainer()},
		{"pid", c.HostConfig.PidMode.Container()},
		{"ipc", c.HostConfig.IpcMode.Container()},
	} {
		if ns.of == "" {
			continue
		}
		if found, err := m.daemon.GetContainer(ns.of); err == nil && found.ID == other.ID {
			shares = append(shares, ns.name)
		}
	}
	return shares
}

// tellDependents puts the dependents into a plan.
func (m *move) tellDependents(p *api.Plan) {
	for _, d := range m.dependents {
		p.Dependents = append(p.Dependents, api.Dependent{ID: d.ID, Name: bare(d.Container), Shares: d.shares, Running: d.ran})
		if d.ran && !m.restartDependents {
			p.Warnings = append(p.Warnings, fmt.Sprintf("container %s shares the %s namespace of %s, and loses it when that is stopped: it has to be restarted afterwards, which --restart-dependents does",
				bare(d.Container), strings.Join(d.shares, " and "), bare(m.c)))
		}
	}
}

// restartShared restarts the dependents that ran, after the container was stopped, and says
// which it did not restart.
func (m *move) restartShared(ctx context.Context) (warnings []string) {
	if !m.stopped {
		return nil
	}
	for _, d := range m.dependents {
		if !d.ran {
			continue
		}
		if why := m.restartOne(ctx, d); why != "" {
			warnings = append(warnings, fmt.Sprintf("container %s shares the %s namespace that %s had before, and was not restarted: %s",
				bare(d.Container), strings.Join(d.shares, " and "), bare(m.c), why))
			continue
		}
		m.result.Restarted = append(m.result.Restarted, bare(d.Container))
	}
	return warnings
}

// restartOne says why it did not restart a container; "" if it did.
func (m *move) restartOne(ctx context.Context, d dependent) (why string) {
	c := d.Container
	switch {
	case !m.restartDependents:
		return "docker restart " + bare(c) + " does that"
	case !m.c.State.IsRunning():
		return bare(m.c) + " does not run"
	case m.daemon.IsShuttingDown():
		return "the daemon shuts down"
	case c.HostConfig.AutoRemove:
		return "it was created with --rm, and would be removed when it is stopped"
	case c.State.IsPaused():
		return "it is paused"
	case c.State.IsRemovalInProgress() || c.State.IsDead():
		return "it is being removed"
	case d.wasStopped():
		return "somebody stopped it meanwhile"
	}
	// Nobody seals or switches its files meanwhile. Two moves do not wait for each other: the
	// later is refused.
	ctx, _, end, err := m.Begin(ctx, c.ID, "a restart")
	if err != nil {
		return err.Error()
	}
	defer end()
	m.status("restarting " + bare(c))
	if err := m.daemon.Stop(ctx, c); err != nil {
		return err.Error()
	}
	if err := m.daemon.Start(ctx, c); err != nil {
		return err.Error()
	}
	return ""
}

// wasStopped reports whether somebody stopped a dependent since the move began. One that
// lost its pid namespace has ended by itself.
func (d dependent) wasStopped() bool {
	d.State.Lock()
	defer d.State.Unlock()
	return d.HasBeenManuallyStopped && !d.State.Running && !d.signalled
}
