// Package baleentypes gives names to the types of daemon/internal that Baleen uses:
// its module must not import those packages.
package baleentypes

import (
	"github.com/moby/moby/v2/daemon/internal/image"
	"github.com/moby/moby/v2/daemon/internal/layer"
	libcontainerdtypes "github.com/moby/moby/v2/daemon/internal/libcontainerd/types"
)

type (
	CreateRWLayerOpts = layer.CreateRWLayerOpts
	Image             = image.Image
	ImageID           = image.ID
	InitLayerFunc     = layer.MountInit
	RuntimeClient     = libcontainerdtypes.Client
	RuntimeContainer  = libcontainerdtypes.Container
	Process           = libcontainerdtypes.Process
	StdioCallback     = libcontainerdtypes.StdioCallback
	TaskResources     = libcontainerdtypes.Resources
	Task              = libcontainerdtypes.Task
	TaskEventInfo     = libcontainerdtypes.EventInfo
)

// TaskResumed is the event of a task that goes on after a pause.
const TaskResumed = libcontainerdtypes.EventResumed
