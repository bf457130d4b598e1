package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/completion"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

func newRestore(docker command.Cli) *cobra.Command {
	var (
		r   api.RestoreRequest
		out show.Output
	)
	cmd := &cobra.Command{
		Use:   "restore [OPTIONS] REF",
		Short: "Make a container of a checkpoint",
		Long: `Make a container of a checkpoint

The container gets the configuration and the files that the one had which was
checkpointed, and runs. The checkpoint must be there: pull or load it first. The
container's image need not be. If anything fails, nothing remains of it.

A checkpoint that the daemon has not made itself can ask for whatever a container
can be created with, and its processes come as they are. What reaches out of a
container is refused without --trust, and listed.`,
		Example: `  docker baleen restore registry.example.com/sandbox:1

  # Beside the one that it was made of
  docker baleen restore --name other --create-only sandbox:1`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: completeArguments(completion.ImageNames(docker, 1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Ref = args[0]
			return restore(cmd.Context(), docker, r, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "Name of the new container (default: the one that it had)")
	f.BoolVar(&r.CreateOnly, "create-only", false, "Do not start the container")
	f.BoolVar(&r.Trust, "trust", false, "Allow what reaches out of the container, such as privileges and folders of the host")
	f.BoolVarP(&out.Quiet, "quiet", "q", false, "Only print the id of the container")
	f.StringVar(&out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	completeNothing(cmd, "name")
	return cmd
}

func restore(ctx context.Context, docker command.Cli, r api.RestoreRequest, out show.Output) error {
	if err := out.Check(); err != nil {
		return err
	}
	steps := show.NewSteps(docker.Err(), out.Quiet)
	made, err := connect(docker).Restore(ctx, r, steps.Show)
	steps.End(err == nil)
	if err != nil && strings.Contains(err.Error(), "is already in use by container") {
		return cli.StatusError{StatusCode: 1, Status: fmt.Sprintf(
			"%s\nTo make the new one beside it: docker baleen restore --name NAME %s", printable.Text(err.Error()), printable.Shell(r.Ref))}
	}
	if err != nil {
		return interrupted(err, "whether there is a container docker ps -a shows")
	}
	show.Warnings(docker.Err(), made.Warnings)
	switch {
	case out.Custom():
		return out.Write(docker.Out(), made)
	case out.Quiet:
		fmt.Fprintln(docker.Out(), printable.Line(made.ID))
		return nil
	}
	does := ""
	if made.Started {
		does = ", and started it"
	}
	fmt.Fprintf(docker.Out(), "Made %s of the %s in %s%s.\n", printable.Line(made.Name), printable.Line(made.Kind), printable.Line(r.Ref), does)
	return nil
}
