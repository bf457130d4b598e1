package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

const (
	upgradeHelp = `Move a container to another image, with what it wrote

Without IMAGE the container moves to the image that its name means now, if that is
another one than it stands on: the name that it was created from, or was last upgraded
to. The image must be there, or be pulled with --pull.

What you set when you created the container stays; what came from the old image
follows the new one. A container that runs is stopped and started again. If it then
exits or does not become healthy it is rolled back, and the exit status is 3. If
somebody stops it before that is known, it stays on the new image, and the exit
status is 4. The state that it leaves is kept as a revision.

With --compose-project the containers of a project of Docker Compose, or of some of its
services, move to what the names of their services' images mean now: one after the
other, those that others depend on first. If one fails or does not come up, those
before it are rolled back too.`

	upgradeExamples = `  # See what would happen, then do it
  docker pull nginx:1.29
  docker baleen upgrade --dry-run web nginx:1.29
  docker baleen upgrade -m "for the new cipher" web nginx:1.29

  # Follow the tag that the container was created from
  docker baleen upgrade --pull web

  # Upgrade a project of Docker Compose, or take all of it back
  docker baleen upgrade --pull --compose-project shop
  docker baleen upgrade --compose-project shop db cache

  # Take the configuration of the new image, and give up on any other conflict
  docker baleen upgrade --policy '/etc/nginx/**=image' --policy fail web nginx:1.29

  # Keep the data whole that the image had brought, whatever the new one has there
  docker baleen upgrade --keep /var/lib/postgresql/15/main db postgres:17`
)

func newUpgrade(docker command.Cli) *cobra.Command {
	var (
		m      move
		health time.Duration
		pull   bool
		in     string // a project of Compose
	)
	cmd := &cobra.Command{
		Use:   "upgrade [OPTIONS] CONTAINER [IMAGE] | --compose-project PROJECT [SERVICE...]",
		Short: "Move a container to another image, with what it wrote",
		Long:  upgradeHelp, Example: upgradeExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if in != "" {
				return nil
			}
			return cli.RequiresRangeArgs(1, 2)(cmd, args)
		},
		ValidArgsFunction: completeContainerAndImage(docker),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := wholeSeconds(health)
			if err != nil {
				return err
			}
			r := api.UpgradeRequest{
				Message: m.message, Policy: m.policy.policy, Paths: m.policy.paths, Keep: m.keep,
				DryRun: m.dryRun, NoStart: m.noStart, HealthTimeout: seconds, RestartDependents: m.restart,
			}
			if in != "" {
				p := project{move: &m, docker: docker, name: in, pull: pull, request: r}
				return p.upgrade(cmd.Context(), args)
			}
			if len(args) > 1 {
				r.Image = args[1]
			}
			current, err := findImage(cmd.Context(), docker, args[0], r.Image, pull, m.out.Quiet)
			if err != nil {
				return err
			}
			if current && !m.dryRun {
				return m.showCurrent(cmd.Context(), docker, args[0], args[0])
			}
			return m.run(cmd.Context(), docker, args[0], func(ctx context.Context, report func(api.Progress)) (api.Result, error) {
				return connect(docker).Upgrade(ctx, args[0], r, report)
			})
		},
	}
	m.flags(cmd)
	cmd.Flags().BoolVar(&pull, "pull", false, "Pull the image first")
	cmd.Flags().DurationVar(&health, "health-timeout", 0, "How long the container may take to become healthy, or must run if it has no health check (e.g. 2m; default: the daemon's)")
	cmd.Flags().StringVar(&in, "compose-project", "", "Upgrade the containers of this project of Docker Compose, or of some of its services")
	completeNothing(cmd, "health-timeout", "compose-project")
	return cmd
}

// wholeSeconds rounds up, for 0 would be the daemon's default.
func wholeSeconds(d time.Duration) (int, error) {
	if d < 0 {
		return 0, errors.New("--health-timeout cannot be less than 0")
	}
	return int((d + time.Second - 1) / time.Second), nil
}

// showCurrent tells that a container, of an id and a name, has nothing to upgrade to.
func (m *move) showCurrent(ctx context.Context, docker command.Cli, id, container string) error {
	list, err := connect(docker).Revisions(ctx, id)
	if err != nil {
		return err
	}
	var r api.Result
	if i := slices.IndexFunc(list, func(r api.Revision) bool { return r.Current }); i >= 0 {
		r.Revision = list[i]
	}
	switch {
	case m.out.Custom():
		return m.out.Write(docker.Out(), r)
	case m.out.Quiet:
		fmt.Fprintln(docker.Out(), r.Revision.Number)
	default:
		fmt.Fprintf(docker.Out(), "%s stands on its image's newest version already: nothing to do.\n", printable.Line(container))
	}
	return nil
}
