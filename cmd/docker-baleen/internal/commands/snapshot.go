package commands

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

func newSnapshot(docker command.Cli) *cobra.Command {
	var (
		message string
		out     show.Output
	)
	cmd := &cobra.Command{
		Use:   "snapshot [OPTIONS] CONTAINER",
		Short: "Keep the present state of a container",
		Long: `Keep the present state of a container

The state becomes a revision, to which docker baleen rollback goes back. A
container that runs stands still for a moment, while its files are copied, and goes
on running. Of a stopped container nothing is copied. Volumes are not part of it.`,
		Example: `  docker baleen snapshot -m "before the migration" db

  # In a script: the number of the new revision
  n=$(docker baleen snapshot -q db)`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: completeContainer(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			return snapshot(cmd.Context(), docker, args[0], message, out)
		},
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "What the revision is")
	cmd.Flags().BoolVarP(&out.Quiet, "quiet", "q", false, "Only print the number of the revision")
	cmd.Flags().StringVar(&out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	completeNothing(cmd, "message")
	return cmd
}

func snapshot(ctx context.Context, docker command.Cli, container, message string, out show.Output) error {
	if err := out.Check(); err != nil {
		return err
	}
	r, err := connect(docker).Snapshot(ctx, container, api.SnapshotRequest{Message: message})
	switch {
	case err != nil:
		return err
	case out.Custom():
		return out.Write(docker.Out(), r)
	case out.Quiet:
		fmt.Fprintln(docker.Out(), r.Number)
	default:
		fmt.Fprintf(docker.Out(), "Kept %s as revision %d, %s.\n", printable.Line(container), r.Number, show.Size(r.Size))
	}
	return nil
}
