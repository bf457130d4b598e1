package moby

import (
	"io"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types/backend"
	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	imagetypes "github.com/docker/docker/api/types/image"
	mounttypes "github.com/docker/docker/api/types/mount"
	networktypes "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/builder"
	"github.com/docker/docker/container"
	"github.com/docker/docker/daemon/config"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/image"
	"github.com/docker/docker/layer"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/docker/docker/oci"
	"github.com/docker/docker/volume"
	volumemounts "github.com/docker/docker/volume/mounts"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Containers as the daemon has them.
type (
	Container         = container.Container
	ContainerStore    = container.Store
	ContainerFilter   = container.StoreFilter
	ContainerReducer  = container.StoreReducer
	ContainerHealth   = container.Health
	ExitStatus        = container.ExitStatus
	RWLayer           = container.RWLayer // the writable layer of a container or of an image mount
	MountPoint        = volumemounts.MountPoint
	Volume            = volume.Volume
	Task              = libcontainerdtypes.Task
	RuntimeClient     = libcontainerdtypes.Client    // the daemon's own view of containerd
	RuntimeContainer  = libcontainerdtypes.Container // what containerd has of a container
	Process           = libcontainerdtypes.Process
	StdioCallback     = libcontainerdtypes.StdioCallback
	TaskResources     = libcontainerdtypes.Resources
	TaskEventInfo     = libcontainerdtypes.EventInfo
	CreateRWLayerOpts = layer.CreateRWLayerOpts
	InitLayerFunc     = layer.MountInit // fills the init layer of a container below a folder
	DaemonConfig      = config.Config
)

// NewContainer returns a container that no daemon knows.
func NewContainer(id, root string) *Container { return container.NewBaseContainer(id, root) }

const (
	WaitNotRunning   = containertypes.WaitConditionNotRunning
	TaskResumed      = libcontainerdtypes.EventResumed
	StockRuntimeName = config.StockRuntimeName // of the runtime that needs no configuration
)

// Containers as the API has them.
type (
	ContainerConfig   = containertypes.Config
	HostConfig        = containertypes.HostConfig
	HealthConfig      = containertypes.HealthConfig
	HealthcheckResult = containertypes.HealthcheckResult
	HealthStatus      = containertypes.HealthStatus
	LogConfig         = containertypes.LogConfig
	NetworkMode       = containertypes.NetworkMode
	CreateRequest     = containertypes.CreateRequest
	CreateResponse    = containertypes.CreateResponse
	Mount             = mounttypes.Mount
	VolumeOptions     = mounttypes.VolumeOptions
	EndpointSettings  = networktypes.EndpointSettings
	NetworkingConfig  = networktypes.NetworkingConfig
	PortSet           = nat.PortSet
	ImageDeleted      = imagetypes.DeleteResponse
	ImageDeleteOption = imagetypes.RemoveOptions
)

const (
	Healthy   = containertypes.Healthy
	Unhealthy = containertypes.Unhealthy

	MountTypeVolume = mounttypes.TypeVolume
	MountTypeTmpfs  = mounttypes.TypeTmpfs
	MountTypeImage  = mounttypes.TypeImage

	NetworkModeDefault = networktypes.NetworkDefault
	NetworkModeBridge  = networktypes.NetworkBridge
	NetworkModeNone    = networktypes.NetworkNone
)

// StockMapsIDs reports whether stock Moby of this line starts with both userns-remap and
// the containerd store.
const StockMapsIDs = true

// What the daemon is asked for.
type (
	ContainerCreateConfig   = backend.ContainerCreateConfig
	ContainerRmConfig       = backend.ContainerRmConfig
	ContainerStopOptions    = containertypes.StopOptions
	CreateImageConfig       = backend.CreateImageConfig // of docker commit
	CommitConfig            = backend.CommitConfig      // of the image service
	GetImageOpts            = backend.GetImageOpts
	GetImageAndLayerOptions = backend.GetImageAndLayerOptions
	AuthConfig              = registry.AuthConfig // for a registry
)

// TakePause reports whether a commit is to pause its container, and has it not do that.
func TakePause(c *CreateImageConfig) bool {
	pause := c.Pause
	c.Pause = false
	return pause
}

// Platforms says of which platforms of an image an archive is made or read, or which
// are pulled or pushed; all, or the host's, if it is nil. See [PlatformList].
type Platforms = *ocispec.Platform

// PlatformList returns the platforms that p names; nil for a nil p.
func PlatformList(p Platforms) []ocispec.Platform {
	if p == nil {
		return nil
	}
	return []ocispec.Platform{*p}
}

// PullOptions says how an image is fetched from a registry. This line's engine has no
// type for it.
type PullOptions struct {
	Platforms   Platforms
	MetaHeaders http.Header // for the registry
	AuthConfig  *AuthConfig
	OutStream   io.Writer // is told the progress
}

// PushOptions says how an image is sent to a registry.
type PushOptions PullOptions

// Images, and what the classic builder has of them.
type (
	Image          = image.Image
	ImageID        = image.ID
	BuilderImage   = builder.Image
	BuilderROLayer = builder.ROLayer
	BuilderRWLayer = builder.RWLayer
)

// Events.
type (
	EventAction = events.Action
	EventActor  = events.Actor
	EventType   = events.Type
)

const (
	ActionCreate     = events.ActionCreate
	ActionCheckpoint = events.ActionCheckpoint
	ActionPause      = events.ActionPause
	ActionUnPause    = events.ActionUnPause

	EventTypeImage = events.ImageEventType
)

// Routes of the API.
type (
	APIFunc = httputils.APIFunc
	// APIVersionKey is the key of a context's value that is the version of the API
	// which a request asks for.
	APIVersionKey = httputils.APIVersionKey
	Route         = router.Route
	Router        = router.Router
)

var (
	ParseForm    = httputils.ParseForm
	NewGetRoute  = router.NewGetRoute
	NewPostRoute = router.NewPostRoute
)

// Errors of the classes that the API turns into an HTTP status. Each function
// returns nil for nil, and wraps the error otherwise.
var (
	NotFound         = errdefs.NotFound
	InvalidParameter = errdefs.InvalidParameter
	Conflict         = errdefs.Conflict
	Unauthorized     = errdefs.Unauthorized
	Unavailable      = errdefs.Unavailable
	Forbidden        = errdefs.Forbidden
	System           = errdefs.System
	NotImplemented   = errdefs.NotImplemented
	Cancelled        = errdefs.Cancelled
	Deadline         = errdefs.Deadline
)

// DefaultLinuxSpec returns the runtime specification of a container of which nothing
// is asked: hidden paths, capabilities, namespaces.
func DefaultLinuxSpec() specs.Spec { return oci.DefaultLinuxSpec() }

// PortNames returns ports as an image's configuration has them, "80/tcp"; nil for no
// ports.
func PortNames(ports PortSet) map[string]struct{} {
	if len(ports) == 0 {
		return nil
	}
	names := make(map[string]struct{}, len(ports))
	for port := range ports {
		names[string(port)] = struct{}{}
	}
	return names
}

// PortsOf is the opposite of [PortNames]; nil for no names. A name that the engine
// could not have as a port is left out, as the engine does when it reads an image.
// This line leaves out none, and changes none.
func PortsOf(names map[string]struct{}) PortSet {
	if len(names) == 0 {
		return nil
	}
	ports := make(PortSet, len(names))
	for name := range names {
		ports[nat.Port(name)] = struct{}{}
	}
	return ports
}

// BoundPorts returns the ports of a container that its user has published on the host.
func BoundPorts(c *Container) PortSet {
	if c.HostConfig == nil {
		return nil
	}
	ports := make(PortSet, len(c.HostConfig.PortBindings))
	for port := range c.HostConfig.PortBindings {
		ports[port] = struct{}{}
	}
	return ports
}

// MountTargets returns the paths at which a container has mounts of its user's or its
// image's, and where its runtime puts an init.
func MountTargets(c *Container) []string {
	const initPath = "/sbin/docker-init" // inContainerInitPath of Moby's daemon
	paths := []string{initPath}
	for path := range c.MountPoints {
		paths = append(paths, path)
	}
	if c.HostConfig != nil {
		for path := range c.HostConfig.Tmpfs {
			paths = append(paths, path)
		}
	}
	return paths
}

// ExitCode returns the exit code of a container's last run. The container is locked,
// or nobody else has it.
func ExitCode(c *Container) int { return c.ExitCode() }
