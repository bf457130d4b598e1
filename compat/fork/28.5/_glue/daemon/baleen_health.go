package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/container"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice"
)

const (
	// settlingTime is how long a container without a health check must run on
	// to count as up.
	settlingTime = 3 * time.Second
	// maxPatience bounds what a health check asks for.
	maxPatience = 10 * time.Minute
	// watchInterval is how often a container is looked at meanwhile.
	watchInterval = 50 * time.Millisecond
)

// comeUp adds the volumes of the new state and starts the container. If that
// fails, or it does not stay up, an upgrade is taken back.
func (m *move) comeUp(ctx context.Context, made *imageservice.Move) error {
	why, err := m.tryUp(ctx)
	if why == "" || err != nil {
		return err
	}
	if !m.watch {
		return fmt.Errorf("moved to revision %d, but: %s", made.To.Number, why)
	}
	m.result.RolledBack = why
	if err := m.takeBack(ctx, made.Before); err != nil {
		return fmt.Errorf("the upgrade failed: %s; and then its rollback: %w", why, err)
	}
	return nil
}

// tryUp says why the container is not up, "" if it is.
func (m *move) tryUp(ctx context.Context) (why string, err error) {
	if why := m.addVolumes(ctx); why != "" {
		return why, nil
	}
	if err := m.start(ctx); err != nil {
		return err.Error(), nil
	}
	if !m.result.Started {
		return "", nil
	}
	m.daemon.baleen.open(ctx)
	if !m.watch {
		return "", nil
	}
	m.status("waiting for the container to be up")
	why, warning := m.watchIt(ctx)
	if warning != "" {
		m.result.Warnings = append(m.result.Warnings, warning)
	}
	if m.c.IsRemovalInProgress() {
		return "", m.removed()
	}
	return why, nil
}

func (m *move) addVolumes(ctx context.Context) (why string) {
	m.c.Lock()
	defer m.c.Unlock()
	added, err := m.daemon.addVolumes(ctx, m.c)
	m.added = added
	m.save(ctx)
	if err != nil {
		return err.Error()
	}
	return ""
}

// takeBack returns the container to the state before, and starts it if it ran.
func (m *move) takeBack(ctx context.Context, before api.Revision) error {
	m.status("rolling back: " + m.result.RolledBack)
	m.daemon.baleen.close(ctx)
	if err := m.stop(ctx); err != nil {
		return err
	}
	back, err := m.service.PrepareRollback(ctx, m.c, imageservice.RollbackOptions{
		Revision: before.Number,
		Message:  string(m.action) + " that failed: " + m.result.RolledBack,
	})
	if err != nil {
		return compat.DockerError(err)
	}
	if err := m.dropVolumes(ctx); err != nil {
		return errors.Join(err, back.Abandon(ctx))
	}
	m.action, m.result.Started = "rollback", false
	if err := m.make(ctx, back); err != nil {
		return err
	}
	m.result.Before = before
	return m.start(ctx)
}

func (m *move) dropVolumes(ctx context.Context) error {
	m.c.Lock()
	defer m.c.Unlock()
	defer m.save(ctx)
	return m.daemon.dropVolumes(ctx, m.c, m.added)
}

// watchIt looks at a container that has just started until it is up, or is not
// and why says so. A warning tells that somebody else took over meanwhile: what
// they do to the container says nothing about its new state.
func (m *move) watchIt(ctx context.Context) (why, warning string) {
	m.c.Lock()
	checked := getProbe(m.c) != nil
	patience := patienceOf(m.c.Config.Healthcheck, checked)
	m.c.Unlock()
	if m.patience > 0 {
		patience = time.Duration(m.patience) * time.Second
	}
	wanted := "running"
	if checked {
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
			if !checked && m.c.IsRunning() {
				return "", ""
			}
			return fmt.Sprintf("the container was not %s within %s%s", wanted, patience, lastProbe(m.c)), ""
		case <-look.C:
		}
		why, warning, up := m.look(checked)
		if up || why != "" || warning != "" {
			return why, warning
		}
	}
}

// patienceOf is how long a container may take to come up: what its health check
// needs at most to call it unhealthy.
func patienceOf(check *containertypes.HealthConfig, checked bool) time.Duration {
	if !checked {
		return settlingTime
	}
	retries := check.Retries
	if retries <= 0 {
		retries = defaultProbeRetries
	}
	probe := timeoutWithDefault(check.Interval, defaultProbeInterval) + timeoutWithDefault(check.Timeout, defaultProbeTimeout)
	// One more for the start period, which ends in the middle of an interval.
	return min(timeoutWithDefault(check.StartPeriod, defaultStartPeriod)+time.Duration(retries+1)*probe, maxPatience)
}

// look says what the container is now: up, not up and why, taken over by
// somebody else, or none of these yet.
func (m *move) look(checked bool) (why, warning string, up bool) {
	c := m.c
	c.Lock()
	defer c.Unlock()
	switch {
	case c.RemovalInProgress || c.Dead:
		return "", "the container is being removed", false
	case m.daemon.IsShuttingDown():
		return "", "the daemon shuts down before the container was seen to be up", false
	case c.Paused:
		return "", "the container was paused before it was seen to be up", false
	case c.HasBeenManuallyRestarted: // on its way down, or up again
		return "", "", false
	case c.Running && c.RestartCount == 0:
		return m.health(checked)
	case c.HasBeenManuallyStopped:
		return "", "the container was stopped before it was seen to be up", false
	case c.Running && !c.Restarting:
		return "the container exited, and was restarted by its policy", "", false
	}
	return fmt.Sprintf("the container exited with status %d", c.ExitCode()), "", false
}

// health says what the health check of a running container has found.
func (m *move) health(checked bool) (why, warning string, up bool) {
	if !checked || m.c.State.Health == nil {
		return "", "", false
	}
	switch m.c.State.Health.Status() {
	case containertypes.Healthy:
		return "", "", true
	case containertypes.Unhealthy:
		return "the container is unhealthy" + probeOutput(m.c), "", false
	}
	return "", "", false
}

func lastProbe(c *container.Container) string {
	c.Lock()
	defer c.Unlock()
	return probeOutput(c)
}

// probeOutput is what the last probe of a health check said.
func probeOutput(c *container.Container) string {
	if c.State.Health == nil || len(c.State.Health.Log) == 0 {
		return ""
	}
	last := c.State.Health.Log[len(c.State.Health.Log)-1]
	return fmt.Sprintf(": its last check ended with %d: %s", last.ExitCode, last.Output)
}
