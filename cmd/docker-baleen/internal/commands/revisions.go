package commands

import (
	"cmp"
	"context"
	"slices"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
)

func newRevisions(docker command.Cli) *cobra.Command {
	var (
		o       show.Output
		noTrunc bool
	)
	cmd := &cobra.Command{
		Use:     "revisions [OPTIONS] CONTAINER",
		Aliases: []string{"ls"},
		Short:   "List the revisions of a container",
		Long: `List the revisions of a container, the newest first

SIZE is what a revision adds to the revisions and the image below it. The current
revision is the one that the container stands on: what it wrote since is in no
revision yet.`,
		Example: `  docker baleen revisions web

  # Placeholders: .Number .Image .ImageID .Message .Kind .Previous .CreatedSince
  # .CreatedAt .Size .Current .State
  docker baleen revisions --format '{{.Number}}: {{.Message}}' web`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: completeContainer(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			return revisions(cmd.Context(), docker, args[0], o, noTrunc)
		},
	}
	cmd.Flags().BoolVarP(&o.Quiet, "quiet", "q", false, "Only print the numbers")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "Do not shorten messages and image IDs")
	cmd.Flags().StringVar(&o.Format, "format", "", flags.FormatHelp)
	completeWith(cmd, "format", formatter.TableFormatKey, formatter.JSONFormatKey)
	return cmd
}

func revisions(ctx context.Context, docker command.Cli, container string, o show.Output, noTrunc bool) error {
	list, err := connect(docker).Revisions(ctx, container)
	if err != nil {
		return err
	}
	sortNewestFirst(list)
	return show.Revisions(docker.Out(), o, noTrunc, list)
}

func sortNewestFirst(list []api.Revision) {
	slices.SortFunc(list, func(a, b api.Revision) int { return cmp.Compare(b.Number, a.Number) })
}
