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
	"github.com/docker/docker/daemon/network"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/image"
	"github.com/docker/docker/layer"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/docker/docker/oci"
	"github.com/docker/docker/pkg/ioutils"
	"github.com/docker/docker/volume"
	volumemounts "github.com/docker/docker/volume/mounts"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Containers as the daemon has them.
type (
	Container          = container.Container
	ContainerState     = container.State
	ContainerStore     = container.Store
	ContainerFilter    = container.StoreFilter
	ContainerReducer   = container.StoreReducer
	ContainerHealth    = container.Health
	ExitStatus         = container.ExitStatus
	StateStatus        = containertypes.StateStatus
	RWLayer            = container.RWLayer // the writable layer of a container or of an image mount
	MountPoint         = volumemounts.MountPoint
	Volume             = volume.Volume
	NetworkSettings    = network.Settings
	NetworkEndpoint    = network.EndpointSettings // with what the daemon has chosen
	Task               = libcontainerdtypes.Task
	RuntimeContainer   = libcontainerdtypes.Container // what containerd has of a container
	TaskEvent          = libcontainerdtypes.EventType
	TaskEventInfo      = libcontainerdtypes.EventInfo
	CreateRWLayerOpts  = layer.CreateRWLayerOpts
	InitLayerFunc      = layer.MountInit // fills the init layer of a container below a folder
	DaemonConfig       = config.Config
	ContainerWaitUntil = containertypes.WaitCondition
)

// NewContainer returns a container that no daemon knows.
func NewContainer(id, root string) *Container { return container.NewBaseContainer(id, root) }

const (
	WaitNotRunning   = containertypes.WaitConditionNotRunning
	WaitRemoved      = containertypes.WaitConditionRemoved
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
	RestartPolicy     = containertypes.RestartPolicy
	Resources         = containertypes.Resources
	NetworkMode       = containertypes.NetworkMode
	CreateRequest     = containertypes.CreateRequest
	CreateResponse    = containertypes.CreateResponse
	Mount             = mounttypes.Mount
	MountType         = mounttypes.Type
	EndpointSettings  = networktypes.EndpointSettings
	EndpointIPAM      = networktypes.EndpointIPAMConfig
	NetworkingConfig  = networktypes.NetworkingConfig
	Port              = nat.Port
	PortSet           = nat.PortSet
	PortMap           = nat.PortMap
	PortBinding       = nat.PortBinding
	ImageDeleted      = imagetypes.DeleteResponse
	ImageDeleteOption = imagetypes.RemoveOptions
)

const (
	Healthy       = containertypes.Healthy
	Unhealthy     = containertypes.Unhealthy
	Starting      = containertypes.Starting
	NoHealthcheck = containertypes.NoHealthcheck

	MountTypeBind   = mounttypes.TypeBind
	MountTypeVolume = mounttypes.TypeVolume
	MountTypeTmpfs  = mounttypes.TypeTmpfs
	MountTypeImage  = mounttypes.TypeImage

	NetworkModeDefault = networktypes.NetworkDefault
	NetworkModeBridge  = networktypes.NetworkBridge
	NetworkModeNone    = networktypes.NetworkNone
	NetworkModeHost    = networktypes.NetworkHost
)

// What the daemon is asked for.
type (
	ContainerCreateConfig   = backend.ContainerCreateConfig
	ContainerRmConfig       = backend.ContainerRmConfig
	ContainerStopOptions    = containertypes.StopOptions
	CommitConfig            = backend.CommitConfig
	CreateImageConfig       = backend.CreateImageConfig
	GetImageOpts            = backend.GetImageOpts
	GetImageAndLayerOptions = backend.GetImageAndLayerOptions
	AuthConfig              = registry.AuthConfig // for a registry

)

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
	ActionCommit     = events.ActionCommit
	ActionDestroy    = events.ActionDestroy
	ActionPause      = events.ActionPause
	ActionUnPause    = events.ActionUnPause
	ActionStart      = events.ActionStart
	ActionStop       = events.ActionStop
	ActionUpdate     = events.ActionUpdate

	EventTypeContainer = events.ContainerEventType
	EventTypeImage     = events.ImageEventType
)

// Routes of the API.
type (
	APIFunc = httputils.APIFunc
	// APIVersionKey is the key of a context's value that is the version of the API
	// which a request asks for.
	APIVersionKey = httputils.APIVersionKey
	Route         = router.Route
	Router        = router.Router
	WriteFlusher  = ioutils.WriteFlusher
)

var (
	NewGetRoute     = router.NewGetRoute
	NewPostRoute    = router.NewPostRoute
	WriteJSON       = httputils.WriteJSON
	CheckForJSON    = httputils.CheckForJSON
	NewWriteFlusher = ioutils.NewWriteFlusher
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
	NotModified      = errdefs.NotModified
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
		ports[Port(name)] = struct{}{}
	}
	return ports
}

// ExitCode returns the exit code of a container's last run. The container is locked,
// or nobody else has it.
func ExitCode(c *Container) int { return c.ExitCode() }

// StateName returns what docker ps calls the state of a container: "running",
// "exited" and so on. The container is locked, or nobody else has it.
func StateName(c *Container) string { return c.StateString() }

// PausesForCommit reports whether a commit is to pause the container.
func PausesForCommit(c *CreateImageConfig) bool { return c.Pause }

// BuilderImageOS returns the operating system of an image of the builder, "linux".
func BuilderImageOS(img BuilderImage) string { return img.OperatingSystem() }
