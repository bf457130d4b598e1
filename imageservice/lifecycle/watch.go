package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/baleen-project/baleen/compat/moby"
)

const (
	// settlingTime is how long a container without a health check must run on to count
	// as up.
	settlingTime = 3 * time.Second
	// maxPatience bounds what a health check asks for.
	maxPatience = 10 * time.Minute
	// watchInterval is how often a container is looked at meanwhile.
	watchInterval = 50 * time.Millisecond
)

// ProbeDefaults are the daemon's values for what a health check does not say.
type ProbeDefaults struct {
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

// patience is how long a container may take to come up: what its health check needs at
// most to call it unhealthy.
func (d ProbeDefaults) patience(check *moby.HealthConfig) time.Duration {
	retries := check.Retries
	if retries <= 0 {
		retries = d.Retries
	}
	probe := cmp.Or(check.Interval, d.Interval) + cmp.Or(check.Timeout, d.Timeout)
	// One more for the start period, which ends in the middle of an interval.
	return min(cmp.Or(check.StartPeriod, d.StartPeriod)+time.Duration(retries+1)*probe, maxPatience)
}

// watch looks at a container that has just started until it is up, or is not, and why says
// so. unseen tells that somebody else took over meanwhile: what they do to the
// container says nothing about its new state.
func (m *move) watch(ctx context.Context) (why, unseen string) {
	probed, patience := m.awaited()
	wanted := "running"
	if probed {
		wanted = "healthy"
	}
	end := time.After(patience)
	look := time.NewTicker(watchInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", "nobody watched whether it comes up: " + ctx.Err().Error()
		case <-end:
			if !probed && m.c.State.IsRunning() {
				return "", ""
			}
			return fmt.Sprintf("the container was not %s within %s%s", wanted, patience, lastProbe(m.c)), ""
		case <-look.C:
		}
		why, unseen, up := m.look(probed)
		if up || why != "" || unseen != "" {
			return why, unseen
		}
	}
}

// awaited returns whether the container has a health check, and how long it may take to
// come up.
func (m *move) awaited() (probed bool, patience time.Duration) {
	m.c.State.Lock()
	defer m.c.State.Unlock()
	probed, patience = m.daemon.IsProbed(m.c), settlingTime
	if probed {
		patience = m.probe.patience(m.c.Config.Healthcheck)
	}
	if m.patience > 0 {
		patience = m.patience
	}
	return probed, patience
}

// look says what the container is now: up, not up and why, taken over by somebody else, or
// none of these yet.
func (m *move) look(probed bool) (why, unseen string, up bool) {
	c := m.c
	c.State.Lock()
	defer c.State.Unlock()
	switch {
	case c.State.RemovalInProgress || c.State.Dead:
		return "", "the container is being removed", false
	case m.daemon.IsShuttingDown():
		return "", "the daemon shuts down before the container was seen to be up", false
	case c.State.Paused:
		return "", "the container was paused before it was seen to be up", false
	case c.HasBeenManuallyRestarted: // on its way down, or up again
		return "", "", false
	case c.State.Running && c.RestartCount == 0:
		return health(c, probed)
	case c.HasBeenManuallyStopped:
		return "", "the container was stopped before it was seen to be up", false
	case c.State.Running && !c.State.Restarting:
		return "the container exited, and was restarted by its policy", "", false
	}
	return fmt.Sprintf("the container exited with status %d", moby.ExitCode(c)), "", false
}

// health says what the health check of a running container has found.
func health(c *moby.Container, probed bool) (why, unseen string, up bool) {
	if !probed || c.State.Health == nil {
		return "", "", false
	}
	switch c.State.Health.Status() {
	case moby.Healthy:
		return "", "", true
	case moby.Unhealthy:
		return "the container is unhealthy" + probeOutput(c), "", false
	}
	return "", "", false
}

func lastProbe(c *moby.Container) string {
	c.State.Lock()
	defer c.State.Unlock()
	return probeOutput(c)
}

// probeOutput is what the last probe of a health check said.
func probeOutput(c *moby.Container) string {
	if c.State.Health == nil || len(c.State.Health.Log) == 0 {
		return ""
	}
	last := c.State.Health.Log[len(c.State.Health.Log)-1]
	return fmt.Sprintf(": its last check ended with %d: %s", last.ExitCode, last.Output)
}
