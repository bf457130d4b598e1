package lifecycle

import (
	"slices"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// adopt writes the state of a container's files into its record, which is locked.
func (o *Operations) adopt(c *moby.Container, s revisions.State) {
	c.Config = s.Config
	if argv := command(s.Config); len(argv) > 0 {
		c.Path, c.Args = argv[0], argv[1:]
	}
	c.ImageID = s.ImageID
	c.ImageManifest = s.Manifest
	c.ImagePlatform = s.Platform
	c.OS = s.Platform.OS //nolint:staticcheck // ignore SA1019: the daemon still reads it
	if !o.daemon.IsProbed(c) {
		c.State.Health = nil // was the other image's
	}
}

// command is what a container of a configuration runs; empty if there is nothing to run.
func command(config *moby.ContainerConfig) []string {
	return slices.Concat(config.Entrypoint, config.Cmd)
}
