package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/criu"
)

// Check tells whether the processes of a container, by its name or id, can be kept, and
// lists what speaks against it. It changes nothing, so CRIU may find more: a connection
// that is established, for example.
func (m *Maker) Check(ctx context.Context, name string) (ability api.CheckpointAbility, err error) {
	err = m.Operations.Do(ctx, name, "a checkpoint", func(ctx context.Context, c *moby.Container) error {
		ability = criu.Check(ctx)
		against, err := m.against(ctx, c)
		if err != nil {
			return compat.DockerError(fmt.Errorf("look at the processes of container %s: %w", bare(c), err))
		}
		for _, reason := range against {
			ability.Processes = false
			ability.Reasons = append(ability.Reasons, compat.PrintableError(reason).Error())
		}
		if ability.Reason == "" && len(ability.Reasons) > 0 {
			ability.Reason = ability.Reasons[0]
		}
		return nil
	})
	return ability, err
}

// against lists what speaks against keeping the processes of a container.
func (m *Maker) against(ctx context.Context, c *moby.Container) (reasons []error, err error) {
	if !c.State.IsRunning() {
		return []error{errors.New("it does not run: there are no processes to keep")}, nil
	}
	if err := keepable(c, true); err != nil {
		reasons = append(reasons, err)
	}
	pids, err := m.Processes.Pids(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	if err := criu.CheckProcesses(pids); err != nil {
		reasons = append(reasons, err)
	}
	return reasons, nil
}
