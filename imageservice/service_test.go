package imageservice_test

import (
	"github.com/docker/docker/daemon"

	"github.com/baleen-project/baleen/imageservice"
)

// The whole interface of the daemon is there. (Package imageservice itself
// must not import the daemon, which imports it.)
var _ daemon.ImageService = (*imageservice.Service)(nil)
