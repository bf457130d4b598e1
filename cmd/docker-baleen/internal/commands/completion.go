package commands

import (
	"strconv"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/completion"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
)

var formats = []string{formatter.JSONFormatKey}

func completeContainer(docker command.Cli) cobra.CompletionFunc {
	return completeArguments(completion.ContainerNames(docker, true))
}

func completeContainerAndImage(docker command.Cli) cobra.CompletionFunc {
	return completeArguments(completion.ContainerNames(docker, true), completion.ImageNames(docker, 0))
}

func completeContainerAndRevision(docker command.Cli) cobra.CompletionFunc {
	return completeArguments(completion.ContainerNames(docker, true), revisionNumbers(docker))
}

// completeArguments completes the first argument with the first function, and
// so on.
func completeArguments(funcs ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(funcs) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return funcs[len(args)](cmd, args, toComplete)
	}
}

// revisionNumbers offers the revisions of the container that is the first
// argument, with what they are.
func revisionNumbers(docker command.Cli) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		list, err := connect(docker).Revisions(cmd.Context(), args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		sortNewestFirst(list)
		var numbers []string
		for _, r := range list {
			numbers = append(numbers, cobra.CompletionWithDesc(strconv.Itoa(r.Number), show.Describe(r)))
		}
		return numbers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeWith offers values for an option, which the command must have.
func completeWith(cmd *cobra.Command, option string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(option, completion.FromList(values...))
}

// completeNothing keeps the shell from offering files for options.
func completeNothing(cmd *cobra.Command, options ...string) {
	for _, option := range options {
		completeWith(cmd, option)
	}
}
