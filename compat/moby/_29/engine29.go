package moby

import (
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	imagetypes "github.com/moby/moby/api/types/image"
	mounttypes "github.com/moby/moby/api/types/mount"
	networktypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/v2/daemon/baleentypes"
	"github.com/moby/moby/v2/daemon/builder"
	"github.com/moby/moby/v2/daemon/config"
	daemoncontainer "github.com/moby/moby/v2/daemon/container"
	"github.com/moby/moby/v2/daemon/pkg/oci"
	"github.com/moby/moby/v2/daemon/server/backend"
	"github.com/moby/moby/v2/daemon/server/buildbackend"
	"github.com/moby/moby/v2/daemon/server/httputils"
	"github.com/moby/moby/v2/daemon/server/imagebackend"
	"github.com/moby/moby/v2/daemon/server/router"
	"github.com/moby/moby/v2/daemon/volume"
	volumemounts "github.com/moby/moby/v2/daemon/volume/mounts"
	"github.com/moby/moby/v2/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Containers as the daemon has them.
type (
	Container         = daemoncontainer.Container
	ContainerStore    = daemoncontainer.Store
	ContainerFilter   = daemoncontainer.StoreFilter
	ContainerReducer  = daemoncontainer.StoreReducer
	ContainerHealth   = daemoncontainer.Health
	ExitStatus        = daemoncontainer.ExitStatus
	RWLayer           = daemoncontainer.RWLayer // the writable layer of a container or of an image mount
	MountPoint        = volumemounts.MountPoint
	Volume            = volume.Volume
	Task              = baleentypes.Task
	RuntimeClient     = baleentypes.RuntimeClient    // the daemon's own view of containerd
	RuntimeContainer  = baleentypes.RuntimeContainer // what containerd has of a container
	Process           = baleentypes.Process
	StdioCallback     = baleentypes.StdioCallback
	TaskResources     = baleentypes.TaskResources
	TaskEventInfo     = baleentypes.TaskEventInfo
	CreateRWLayerOpts = baleentypes.CreateRWLayerOpts
	InitLayerFunc     = baleentypes.InitLayerFunc // fills the init layer of a container below a folder
	DaemonConfig      = config.Config
)

// NewContainer returns a container that no daemon knows.
func NewContainer(id, root string) *Container { return daemoncontainer.NewBaseContainer(id, root) }

const (
	WaitNotRunning   = container.WaitConditionNotRunning
	TaskResumed      = baleentypes.TaskResumed
	StockRuntimeName = config.StockRuntimeName // of the runtime that needs no configuration
)

// Containers as the API has them.
type (
	ContainerConfig   = container.Config
	HostConfig        = container.HostConfig
	HealthConfig      = container.HealthConfig
	HealthcheckResult = container.HealthcheckResult
	HealthStatus      = container.HealthStatus
	LogConfig         = container.LogConfig
	NetworkMode       = container.NetworkMode
	CreateRequest     = container.CreateRequest
	CreateResponse    = container.CreateResponse
	Mount             = mounttypes.Mount
	VolumeOptions     = mounttypes.VolumeOptions
	EndpointSettings  = networktypes.EndpointSettings
	NetworkingConfig  = networktypes.NetworkingConfig
	PortSet           = networktypes.PortSet
	ImageDeleted      = imagetypes.DeleteResponse
	ImageDeleteOption = imagebackend.RemoveOptions
)

const (
	Healthy   = container.Healthy
	Unhealthy = container.Unhealthy

	MountTypeVolume = mounttypes.TypeVolume
	MountTypeTmpfs  = mounttypes.TypeTmpfs
	MountTypeImage  = mounttypes.TypeImage

	NetworkModeDefault = networktypes.NetworkDefault
	NetworkModeBridge  = networktypes.NetworkBridge
	NetworkModeNone    = networktypes.NetworkNone
)

// StockMapsIDs reports whether stock Moby of this line starts with both userns-remap and
// the containerd store.
const StockMapsIDs = false

// What the daemon is asked for.
type (
	ContainerCreateConfig   = backend.ContainerCreateConfig
	ContainerRmConfig       = backend.ContainerRmConfig
	ContainerStopOptions    = backend.ContainerStopOptions
	CreateImageConfig       = backend.CreateImageConfig // of docker commit
	CommitConfig            = backend.CommitConfig      // of the image service
	GetImageOpts            = imagebackend.GetImageOpts
	GetImageAndLayerOptions = buildbackend.GetImageAndLayerOptions
	AuthConfig              = registry.AuthConfig // for a registry
)

// TakePause reports whether a commit is to pause its container, and has it not do that.
func TakePause(c *CreateImageConfig) bool {
	pause := !c.NoPause
	c.NoPause = true
	return pause
}

// Platforms says of which platforms of an image an archive is made or read, or which
// are pulled or pushed; all, or the host's, if it is nil. See [PlatformList].
type Platforms = []ocispec.Platform

// PlatformList returns the platforms that p names; nil for a nil p.
func PlatformList(p Platforms) []ocispec.Platform { return p }

type (
	// PullOptions says how an image is fetched from a registry.
	PullOptions = imagebackend.PullOptions
	// PushOptions says how an image is sent to a registry.
	PushOptions = imagebackend.PushOptions
)

// Images, and what the classic builder has of them.
type (
	Image          = baleentypes.Image
	ImageID        = baleentypes.ImageID
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
		names[port.String()] = struct{}{}
	}
	return names
}

// PortsOf is the opposite of [PortNames]; nil for no names. A name that the engine
// could not have as a port is left out, as the engine does when it reads an image.
// This line writes "80" as "80/tcp", and a protocol in small letters.
func PortsOf(names map[string]struct{}) PortSet {
	if len(names) == 0 {
		return nil
	}
	ports := make(PortSet, len(names))
	for name := range names {
		if port, err := networktypes.ParsePort(name); err == nil {
			ports[port] = struct{}{}
		}
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
func ExitCode(c *Container) int { return c.State.ExitCode }
