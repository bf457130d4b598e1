package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

type pruneOptions struct {
	keep  int
	older time.Duration
	force bool
	out   show.Output
}

func newPrune(docker command.Cli) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS] CONTAINER",
		Short: "Remove revisions of a container",
		Long: `Remove revisions of a container

The current revision always stays. Without --keep and --older-than all others are
removed; on a terminal the command asks before that. Files of a removed revision that
the container, another revision or an image still needs stay on disk. If the container
is stopped and has written nothing since its revision, the layers of removed revisions
right below a kept one are merged into it, which removes files that were overwritten
since. docker baleen df shows how much a prune gives back.`,
		Example: `  # Keep the newest five
  docker baleen prune --keep 5 sandbox

  # Keep the newest five, and whatever is younger than a week
  docker baleen prune --keep 5 --older-than 168h sandbox`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: completeContainer(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			return prune(cmd.Context(), docker, args[0], o)
		},
	}
	cmd.Flags().IntVar(&o.keep, "keep", 0, "Keep that many of the newest revisions")
	cmd.Flags().DurationVar(&o.older, "older-than", 0, "Only remove revisions older than that (e.g. 36h)")
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "Do not ask on a terminal before removing all")
	cmd.Flags().BoolVarP(&o.out.Quiet, "quiet", "q", false, "Only print the numbers of the removed revisions")
	cmd.Flags().StringVar(&o.out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	completeNothing(cmd, "keep", "older-than")
	return cmd
}

func prune(ctx context.Context, docker command.Cli, container string, o pruneOptions) error {
	if o.keep < 0 || o.older < 0 {
		return errors.New("--keep and --older-than cannot be less than 0")
	}
	if err := o.out.Check(); err != nil {
		return err
	}
	if ok, err := o.confirm(ctx, docker, container); err != nil || !ok {
		return err
	}
	report, err := connect(docker).Prune(ctx, container, api.PruneRequest{Keep: o.keep, OlderThan: o.older})
	switch {
	case err != nil:
		return err
	case o.out.Custom():
		return o.out.Write(docker.Out(), report)
	}
	for _, n := range report.Removed {
		if o.out.Quiet {
			fmt.Fprintln(docker.Out(), n)
		} else {
			fmt.Fprintf(docker.Out(), "Removed revision %d\n", n)
		}
	}
	if !o.out.Quiet {
		fmt.Fprintf(docker.Out(), "Total reclaimed space: %s\n", show.Size(report.SpaceReclaimed))
		if report.SpaceHeld > 0 {
			fmt.Fprintf(docker.Out(), "Still in use: %s of the removed revisions, by the container or by revisions that stay\n", show.Size(report.SpaceHeld))
		}
	}
	return nil
}

// confirm asks a person before everything goes; a script has said what it wants.
func (o pruneOptions) confirm(ctx context.Context, docker command.Cli, container string) (bool, error) {
	if o.force || o.keep > 0 || o.older > 0 || !docker.In().IsTerminal() {
		return true, nil
	}
	fmt.Fprintf(docker.Out(), "This removes all revisions of %s that it does not stand on: there is no way back to them.\nGo on? [y/N] ", printable.Line(container))
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(docker.In()).ReadString('\n') // an end without an answer is a no
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case answer := <-answered:
		return answer == "y" || answer == "yes", nil
	}
}
