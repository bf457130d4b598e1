package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

func newCheckpoint(docker command.Cli) *cobra.Command {
	var (
		r     api.CheckpointRequest
		check bool
		out   show.Output
	)
	cmd := &cobra.Command{
		Use:   "checkpoint [OPTIONS] CONTAINER [REF]",
		Short: "Keep a container's whole state as an image",
		Long: `Keep a container's whole state as an image

The image holds the container's files, its configuration and the image that it
was created from. Any daemon with Baleen makes the container again from it. It is
saved, pushed and pulled like every other image. The files of volumes are not in it.

Of a container that runs the processes are kept, too, which needs CRIU on the
daemon's machine. They stand still while they are kept, and end when the checkpoint
is whole; with --leave-running they go on. Without CRIU use --no-process.`,
		Example: `  docker baleen checkpoint --leave-running sandbox registry.example.com/sandbox:1
  docker push registry.example.com/sandbox:1

  # Elsewhere
  docker pull registry.example.com/sandbox:1
  docker baleen restore registry.example.com/sandbox:1

  # Can the daemon keep processes? Those of this container?
  docker baleen checkpoint --check
  docker baleen checkpoint --check sandbox`,
		Args: func(cmd *cobra.Command, args []string) error {
			if check {
				return cli.RequiresMaxArgs(1)(cmd, args)
			}
			return cli.RequiresRangeArgs(1, 2)(cmd, args)
		},
		ValidArgsFunction: completeContainer(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return checkAbility(cmd.Context(), docker, args, out)
			}
			if len(args) > 1 {
				r.Ref = args[1]
			}
			return checkpoint(cmd.Context(), docker, args[0], r, out)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.NoProcess, "no-process", false, "Keep the files of a container that runs, and not its processes")
	f.BoolVar(&r.LeaveRunning, "leave-running", false, "Have the processes go on")
	f.BoolVar(&check, "check", false, "Only tell whether the daemon can keep processes, or those of the container, and why not")
	f.BoolVarP(&out.Quiet, "quiet", "q", false, "Only print the id of the image")
	f.StringVar(&out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	return cmd
}

func checkpoint(ctx context.Context, docker command.Cli, container string, r api.CheckpointRequest, out show.Output) error {
	if err := out.Check(); err != nil {
		return err
	}
	steps := show.NewSteps(docker.Err(), out.Quiet)
	made, err := connect(docker).Checkpoint(ctx, container, r, steps.Show)
	steps.End(err == nil)
	if err != nil {
		return signalled(err, "whether there is a checkpoint docker images shows")
	}
	show.Warnings(docker.Err(), made.Warnings)
	switch {
	case out.Custom():
		return out.Write(docker.Out(), made)
	case out.Quiet:
		fmt.Fprintln(docker.Out(), printable.Line(made.ID.String()))
		return nil
	}
	name := made.Ref
	if name == "" {
		name = show.ShortID(made.ID.String())
	}
	fmt.Fprintf(docker.Out(), "Kept the %s of %s as %s: %s, of which %s are new.\n", printable.Line(made.Kind), printable.Line(container), printable.Line(name), show.Size(made.Size), show.Size(made.New))
	if made.Paused > 0 {
		fmt.Fprintf(docker.Out(), "It stood still for %d ms.\n", made.Paused.Milliseconds())
	}
	fmt.Fprintf(docker.Out(), "To make it again: docker baleen restore %s\n", printable.Shell(name))
	return nil
}

// checkAbility fails if the daemon cannot keep processes, or those of the container that
// args may name.
func checkAbility(ctx context.Context, docker command.Cli, args []string, out show.Output) (err error) {
	if err := out.Check(); err != nil {
		return err
	}
	var can api.CheckpointAbility
	whose := "processes"
	if len(args) > 0 {
		whose = "the processes of " + printable.Line(args[0])
		can, err = connect(docker).ContainerCheckpointAbility(ctx, args[0])
	} else {
		can, err = connect(docker).CheckpointAbility(ctx)
	}
	if err != nil {
		return err
	}
	if out.Custom() {
		if err := out.Write(docker.Out(), can); err != nil {
			return err
		}
	}
	if !can.Processes {
		reasons := can.Reasons
		if !slices.Contains(reasons, can.Reason) {
			reasons = append([]string{can.Reason}, reasons...)
		}
		return fmt.Errorf("the daemon cannot save %s: %s (--no-process saves only the files)", whose, strings.Join(reasons, "; "))
	}
	if !out.Custom() && !out.Quiet {
		fmt.Fprintf(docker.Out(), "The daemon can keep %s, with CRIU %s.\n", whose, printable.Line(can.Version))
	}
	return nil
}

// signalled tells what is known after a signal.
func signalled(err error, how string) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return cli.StatusError{StatusCode: statusSignalled, Cause: err, Status: "stopped by a signal: " + how}
}
