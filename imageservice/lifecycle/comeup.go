package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// comeUp adds the volumes of the new state and starts the container. If that fails, or the
// container does not stay up, a watched move is taken back.
func (m *move) comeUp(ctx context.Context, before, to api.Revision) error {
	why, err := m.tryUp(ctx)
	if why == "" || err != nil {
		return err
	}
	if !m.watched {
		return fmt.Errorf("moved to revision %d, but: %s", to.Number, why)
	}
	m.result.RolledBack = why
	if err := m.takeBack(ctx, before); err != nil {
		return fmt.Errorf("the upgrade failed: %s; and then its rollback: %w", why, err)
	}
	return nil
}

// tryUp says why the container is not up; "" if it is.
func (m *move) tryUp(ctx context.Context) (why string, err error) {
	if why = m.addNewVolumes(ctx); why != "" {
		return why, nil
	}
	if err := m.start(ctx); err != nil {
		return err.Error(), nil
	}
	if !m.result.Started {
		return "", nil
	}
	m.guard.open(ctx)
	if !m.watched {
		return "", nil
	}
	m.status("waiting for the container to be up")
	why, m.result.Unseen = m.watch(ctx)
	m.result.Started = m.c.State.IsRunning()
	if m.c.State.IsRemovalInProgress() {
		return "", m.removed()
	}
	return why, nil
}

// addNewVolumes says why the volumes of the new state cannot be added; "" if they are.
func (m *move) addNewVolumes(ctx context.Context) (why string) {
	m.c.State.Lock()
	defer m.c.State.Unlock()
	added, err := m.addVolumes(ctx, m.c)
	m.added = added
	m.save(ctx, m.c)
	if err != nil {
		return err.Error()
	}
	return ""
}

// takeBack returns the container to the state before, and starts it if it ran.
func (m *move) takeBack(ctx context.Context, before api.Revision) error {
	m.status("rolling back: " + m.result.RolledBack)
	m.guard.close(ctx)
	if err := m.stop(ctx); err != nil {
		return err
	}
	back, err := m.files.PrepareRollback(ctx, m.c, revisions.RollbackOptions{
		Revision: before.Number,
		Message:  string(m.action) + " that failed: " + m.result.RolledBack,
	})
	if err != nil {
		return compat.DockerError(err)
	}
	if err := m.dropNewVolumes(ctx); err != nil {
		return errors.Join(err, back.Abandon(ctx))
	}
	m.action, m.result.Started = rollback, false
	if _, _, err := m.makeSwitch(ctx, back); err != nil {
		return err
	}
	m.result.Before = before
	return m.start(ctx)
}

func (m *move) dropNewVolumes(ctx context.Context) error {
	m.c.State.Lock()
	defer m.c.State.Unlock()
	defer m.save(ctx, m.c)
	return m.dropVolumes(ctx, m.c, m.added)
}
