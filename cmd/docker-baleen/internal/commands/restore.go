package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/completion"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/go-connections/nat"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

func newRestore(docker command.Cli) *cobra.Command {
	var (
		r       api.RestoreRequest
		publish []string
		out     show.Output
	)
	cmd := &cobra.Command{
		Use:   "restore [OPTIONS] REF",
		Short: "Make a container of a checkpoint",
		Long: `Make a container of a checkpoint

The new container has the files and the configuration of the one that was
checkpointed, and is started; its processes go on where they stood, if they are in
the checkpoint. Pull or load the checkpoint first. The container's image is in it.
If anything fails, the new container is removed.

The options --name, --publish, --network, --ip, --hostname and --volume replace what
the checkpoint says, so that the container can live beside the one that was
checkpointed.

A checkpoint decides with which privileges, mounts and networks its container is
created, and what its processes are. If another daemon has made it, what reaches out
of a container is refused, and the error lists it; --trust allows it.`,
		Example: `  docker baleen restore registry.example.com/sandbox:1

  # Beside the one that it was made of
  docker baleen restore --name other --publish 8081:80 --volume other-data:/data sandbox:1`,
		Args:              cli.ExactArgs(1),
		ValidArgsFunction: completeArguments(completion.ImageNames(docker, 1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Ref = args[0]
			if err := publishPorts(&r, publish); err != nil {
				return err
			}
			return restore(cmd.Context(), docker, r, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "Name of the new container (default: the one that it had)")
	f.StringArrayVarP(&publish, "publish", "p", nil, "Publish these ports (as docker run does) instead of those that it published; 'none' for no ports")
	f.StringVar(&r.Network, "network", "", "Connect it to this network instead of those that it was connected to (restored processes keep whose network they have: their own, the host's or another container's)")
	f.StringVar(&r.IP, "ip", "", "IP address on its only network; the MAC address is new, too")
	f.StringVar(&r.Hostname, "hostname", "", "Host name (not for restored processes, which have theirs)")
	f.StringArrayVarP(&r.Volumes, "volume", "v", nil, "Mount this (SOURCE:PATH[:OPTIONS]) instead of what it had at the path, or as well (not for restored processes)")
	f.BoolVar(&r.CreateOnly, "create-only", false, "Do not start the container")
	f.BoolVar(&r.Trust, "trust", false, "Allow what reaches out of the container, such as privileges and folders of the host")
	f.BoolVarP(&out.Quiet, "quiet", "q", false, "Only print the id of the container")
	f.StringVar(&out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	completeNothing(cmd, "name", "publish", "ip", "hostname")
	_ = cmd.RegisterFlagCompletionFunc("network", completion.NetworkNames(docker))
	_ = cmd.RegisterFlagCompletionFunc("volume", completion.VolumeNames(docker))
	return cmd
}

// publishPorts reads --publish as docker run reads it, or "none".
func publishPorts(r *api.RestoreRequest, given []string) error {
	if r.Unpublished = slices.Contains(given, "none"); r.Unpublished && len(given) > 1 {
		return errors.New("--publish none and other ports cannot be used together")
	}
	if r.Unpublished {
		return nil
	}
	_, ports, err := nat.ParsePortSpecs(given)
	if err != nil {
		return fmt.Errorf("--publish: %w", err)
	}
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		for _, b := range ports[port] {
			r.Publish = append(r.Publish, api.PublishedPort{Port: string(port), HostIP: b.HostIP, HostPort: b.HostPort})
		}
	}
	return nil
}

func restore(ctx context.Context, docker command.Cli, r api.RestoreRequest, out show.Output) error {
	if err := out.Check(); err != nil {
		return err
	}
	steps := show.NewSteps(docker.Err(), out.Quiet)
	made, err := connect(docker).Restore(ctx, r, steps.Show)
	steps.End(err == nil)
	if err != nil {
		return signalled(err, "whether there is a container docker ps -a shows")
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
