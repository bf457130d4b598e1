package main

import (
	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
	"github.com/baleen-project/baleen/compat/version"
)

func main() {
	plugin.Run(
		commands.New,
		metadata.Metadata{
			SchemaVersion: "0.1.0",
			Vendor:        "Baleen",
			Version:       version.Version,
		},
		command.WithUserAgent("docker-baleen/"+version.Version),
	)
}
