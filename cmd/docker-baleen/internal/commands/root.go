package commands

import (
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/docker/client"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	baleen "github.com/baleen-project/baleen/compat/api/client"
)

// New returns the command `docker baleen` for a docker CLI.
func New(docker command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baleen",
		Short: "Snapshot, upgrade, roll back and checkpoint containers",
		Long: `Snapshot, upgrade, roll back and checkpoint containers

A container has revisions: states of its files, image and configuration that are
kept until they are pruned or the container is removed. A checkpoint is an image
that holds a whole container, from which this daemon or another one makes the
container again. All commands need a daemon with Baleen.`,
		Example: `  # Move a container to a new image; what it wrote stays
  docker baleen upgrade --dry-run web nginx:1.29
  docker baleen upgrade web nginx:1.29

  # Go back
  docker baleen rollback web

  # Keep a state, and return to it as often as you like
  docker baleen snapshot -m "tests pass" sandbox
  docker baleen revisions sandbox
  docker baleen rollback sandbox 1`,
		Args: cli.NoArgs,
		RunE: command.ShowHelp(docker.Err()),
	}
	for _, verb := range []func(command.Cli) *cobra.Command{newSnapshot, newUpgrade, newRollback, newRevisions, newPrune, newCheckpoint, newRestore, newDf, newCheck} {
		cmd.AddCommand(interruptible(verb(docker)))
	}
	return cmd
}

// interruptible has signals cancel the command, and its error be printable. Docker
// passes signals on unless it is on a terminal, where the plugin gets them as well.
func interruptible(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		cmd.SetContext(ctx)
		return show.Error(run(cmd, args))
	}
	return cmd
}

// connect returns a client to the daemon that the docker CLI talks to.
func connect(docker command.Cli) *baleen.Client {
	d := docker.Client()
	return baleen.New(d, baleen.Options{TLS: usesTLS(docker, d), Header: headers(docker)})
}

// usesTLS tells what Docker's client keeps to itself. It follows how the CLI
// makes that client: neither sockets nor ssh have TLS, whatever the context says.
func usesTLS(docker command.Cli, d client.APIClient) bool {
	scheme, _, _ := strings.Cut(d.DaemonHost(), "://")
	ep := docker.DockerEndpoint()
	switch {
	case scheme == "unix", scheme == "npipe", scheme == "fd", strings.HasPrefix(ep.Host, "ssh://"):
		return false
	}
	return ep.TLSData != nil || ep.SkipTLSVerify
}

// headers are those that the user's configuration adds to every request.
func headers(docker command.Cli) http.Header {
	h := http.Header{}
	for name, value := range docker.ConfigFile().HTTPHeaders {
		h.Set(name, value)
	}
	return h
}
