package commands

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/printable"
)

func newDf(docker command.Cli) *cobra.Command {
	var out show.Output
	cmd := &cobra.Command{
		Use:   "df [OPTIONS]",
		Short: "Show what revisions take on disk",
		Long: `Show what revisions take on disk

SIZE is what all revisions of a container take on disk. RECLAIMABLE is the part of it
that docker baleen prune gives back. SHARED is the rest: files that the container
still uses, or an image. A file with several names counts once. docker system df does
not count revisions.`,
		Example: `  docker baleen df

  # For a program, in bytes
  docker baleen df --format json`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return diskUsage(cmd.Context(), docker, out)
		},
	}
	cmd.Flags().BoolVarP(&out.Quiet, "quiet", "q", false, "Only print the names of containers with revisions")
	cmd.Flags().StringVar(&out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	return cmd
}

func diskUsage(ctx context.Context, docker command.Cli, out show.Output) error {
	if err := out.Check(); err != nil {
		return err
	}
	usage, err := connect(docker).DiskUsage(ctx)
	if err != nil {
		return err
	}
	var warnings []string
	for _, c := range usage.Containers {
		if c.Error != "" {
			warnings = append(warnings, c.Error)
		}
		if c.Unmeasured > 0 {
			warnings = append(warnings, fmt.Sprintf("%s of container %s: the size is unknown", show.Plural(int64(c.Unmeasured), "revision", "revisions"), c.Name))
		}
	}
	show.Warnings(docker.Err(), warnings)
	switch {
	case out.Custom():
		return out.Write(docker.Out(), usage)
	case out.Quiet:
		for _, c := range usage.Containers {
			fmt.Fprintln(docker.Out(), printable.Line(c.Name))
		}
		return nil
	}
	return show.DiskUsage(docker.Out(), usage)
}
