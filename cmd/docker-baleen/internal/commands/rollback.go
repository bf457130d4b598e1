package commands

import (
	"context"
	"fmt"
	"strconv"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/compat/api"
)

func newRollback(docker command.Cli) *cobra.Command {
	var (
		m     move
		carry bool
	)
	cmd := &cobra.Command{
		Use:   "rollback [OPTIONS] CONTAINER [REVISION]",
		Short: "Take a container back, or forward, to a revision",
		Long: `Take a container back, or forward, to a revision

Files, image and configuration become those of the revision. Without REVISION the
container goes back to the revision before its last upgrade. If it was not upgraded,
it goes back to its current revision, and so loses what it wrote since. Nothing is
lost for good: the state that the container leaves is kept as a revision. Volumes
stay as they are.

A container that runs is stopped and started again.`,
		Example: `  docker baleen rollback web

  # To a revision of the list, and bring what was written since along
  docker baleen revisions web
  docker baleen rollback --carry web 3`,
		Args:              cli.RequiresRangeArgs(1, 2),
		ValidArgsFunction: completeContainerAndRevision(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := revisionNumber(args[1:])
			if err != nil {
				return err
			}
			r := api.RollbackRequest{
				Revision: number, Message: m.message, Carry: carry, Policy: m.policy.policy,
				Paths: m.policy.paths, Keep: m.keep, DryRun: m.dryRun, NoStart: m.noStart, RestartDependents: m.restart,
			}
			return m.run(cmd.Context(), docker, args[0], func(ctx context.Context, report func(api.Progress)) (api.Result, error) {
				return connect(docker).Rollback(ctx, args[0], r, report)
			})
		},
	}
	m.flags(cmd)
	cmd.Flags().BoolVar(&carry, "carry", false, "Bring what the container changed since its upgrade along")
	return cmd
}

// revisionNumber reads the optional argument; without it the daemon chooses.
func revisionNumber(args []string) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not the number of a revision: see docker baleen revisions", args[0])
	}
	return n, nil
}
