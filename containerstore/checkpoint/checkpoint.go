package checkpoint

import (
	"encoding/json"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/diff"
)

// ArtifactType marks the index and the manifest of a checkpoint.
const ArtifactType = "application/vnd.baleen.checkpoint.v1"

// Media types of the parts of a checkpoint's manifest that are no layers of an
// image. Those that containerd has a name for keep it:
// images.MediaTypeContainerd1CheckpointConfig is the runtime spec, and
// images.MediaTypeContainerd1Checkpoint what CRIU has dumped.
const (
	// MediaTypeContainer is a [Container] as JSON.
	MediaTypeContainer = "application/vnd.baleen.checkpoint.container.v1+json"
	// MediaTypeBaseManifest and MediaTypeBaseConfig are the
	// manifest and the config of the container's image, byte by byte. Named so
	// they are two more blobs to whoever copies the checkpoint; under their own
	// names the image would be one more of the same platform in the index, of
	// which a pull takes the first alone.
	MediaTypeBaseManifest = "application/vnd.baleen.checkpoint.base.manifest.v1+json"
	MediaTypeBaseConfig   = "application/vnd.baleen.checkpoint.base.config.v1+json"
)

// MediaTypeProcess is what CRIU has dumped, compressed with zstd, which
// containerd cannot: [Checkpoint.UnpackProcess] undoes it for a restore. A shell
// that counts gives 24 kB in place of 205 kB, a process with 100 MiB of memory, of
// which half is random, 53 MB in place of 108 MB. That takes 0.2 s, after the
// container goes on, and a restore of it 0.76 s in place of 0.59 s (in turns, 2
// cores). Level 1 is used: level 3 took twice as long for a fifth of a percent.
const MediaTypeProcess = images.MediaTypeContainerd1Checkpoint + "+zstd"

// Annotations of a checkpoint's index. The first three are containerd's.
const (
	// AnnotationImage is the name of the container's image.
	AnnotationImage = ocispec.AnnotationRefName
	// AnnotationRuntime is the runtime of the container's processes.
	AnnotationRuntime = "io.containerd.checkpoint.runtime"
	// AnnotationSnapshotter is where the container's files were.
	AnnotationSnapshotter = "io.containerd.checkpoint.snapshotter"
	// AnnotationContainer is the name of the container.
	AnnotationContainer = "io.baleen.checkpoint.container"
	// AnnotationCRIU is the version of CRIU that kept the processes.
	AnnotationCRIU = "io.baleen.checkpoint.criu"
	// AnnotationIDs is the mapping of the container's user namespace, as UIDS GIDS, each
	// as idmap.Parse reads it. The layers have the ids inside of it. Nothing is mapped
	// because of it alone: it comes from whoever made the checkpoint.
	AnnotationIDs = "io.baleen.checkpoint.ids"
	// AnnotationKind is "files", or "processes" if those are in it.
	AnnotationKind = "io.baleen.checkpoint.kind"
)

// LabelKind, in the config of a checkpoint as an image, is its kind.
const LabelKind = "io.baleen.checkpoint"

// Hint is the command of a checkpoint as an image, for daemons that do not know what it
// is: they say that they do not find it.
const Hint = "this image is a checkpoint of a container and not to be run: docker baleen restore makes the container again"

// Kinds of checkpoints.
const (
	KindFiles     = "files"
	KindProcesses = "processes"
)

// Container is the configuration that a container was created with.
type Container struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"` // the checkpoint, not the container
	// Image is the name by which the image was asked for, ImageID its id, and
	// Manifest that of the container's platform; nil FROM scratch.
	Image    string              `json:"image,omitempty"`
	ImageID  digest.Digest       `json:"imageID,omitempty"`
	Manifest *ocispec.Descriptor `json:"manifest,omitempty"`
	Platform ocispec.Platform    `json:"platform"`
	// Docker's own, as its API has them.
	Config     json.RawMessage `json:"config,omitempty"`
	HostConfig json.RawMessage `json:"hostConfig,omitempty"`
	Networks   json.RawMessage `json:"networks,omitempty"`
	// Volumes are the paths of mounts, whose files are not in the checkpoint.
	Volumes []string `json:"volumes,omitempty"`
}

// Checkpoint is a container's whole state in the content store, or on its way
// there. Parts that it does not have are nil.
type Checkpoint struct {
	Platform    ocispec.Platform
	Image       string // the name of the container's image
	Runtime     string // of its processes
	Snapshotter string
	Name        string // of the container; "" if not known
	Created     time.Time
	CRIU        string // version that kept the processes; "" if not known
	IDs         string // see AnnotationIDs; "" if its files have the ids that it saw

	// Config is that of the checkpoint as an image: the container's files. Layers
	// are those of the container's image, and its own on top.
	Config *ocispec.Descriptor
	Layers []ocispec.Descriptor
	// Own is what the container changed in its image, the lowest first: none if
	// nothing, and several if it stood on sealed layers. Of one of containerd's
	// checkpoints the diffID may not be known.
	Own []diff.Layer
	// Base is the manifest of the container's image for its platform: under its
	// own media type; nil FROM scratch, or if the checkpoint has it only by name.
	// BaseConfig is the config of that, which only a [Checkpoint] to be written
	// needs.
	Base, BaseConfig *ocispec.Descriptor

	Container      *ocispec.Descriptor // a Container
	Spec           *ocispec.Descriptor // the runtime spec
	RuntimeOptions *ocispec.Descriptor
	Process        *ocispec.Descriptor // what CRIU has dumped: see RawProcess
	ProcessOptions *ocispec.Descriptor // how it has
}

// Kind says what the checkpoint holds besides configuration.
func (c *Checkpoint) Kind() string {
	if c.Process != nil {
		return KindProcesses
	}
	return KindFiles
}

// IsCheckpoint reports whether a manifest is that of a checkpoint.
func IsCheckpoint(m ocispec.Manifest) bool { return m.ArtifactType == ArtifactType }

// slots are the parts that have a media type of their own.
func (c *Checkpoint) slots() map[string]**ocispec.Descriptor {
	return map[string]**ocispec.Descriptor{
		MediaTypeBaseConfig:                                 &c.BaseConfig,
		MediaTypeContainer:                                  &c.Container,
		images.MediaTypeContainerd1CheckpointConfig:         &c.Spec,
		images.MediaTypeContainerd1CheckpointRuntimeOptions: &c.RuntimeOptions,
		images.MediaTypeContainerd1Checkpoint:               &c.Process,
		images.MediaTypeContainerd1CheckpointOptions:        &c.ProcessOptions,
	}
}
