package commit

import (
	"context"

	"github.com/containerd/containerd/v2/core/images"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/files"
)

// Events takes what `docker events` shows. Moby's daemon/events has it.
type Events interface {
	Log(action moby.EventAction, eventType moby.EventType, actor moby.EventActor)
}

// Resolver finds the image record that a reference or id means.
type Resolver interface {
	ResolveImage(ctx context.Context, refOrID string) (images.Image, error)
}

// Maker makes images of the files of containers, and of images. All fields are needed. The
// methods may be called at the same time, also for one container.
type Maker struct {
	Files    *files.Containers
	Images   images.Store
	Blobs    *blobs.Store
	Events   Events
	Resolver Resolver
	// Compression of layers, unless a context has another ([WithCompression]).
	Compression compress.Method
	// Limit bounds layers.
	Limit diff.Limit
}

type compressionKey struct{}

// WithCompression returns a context for a commit whose layer is packed otherwise than
// [Maker] says.
func WithCompression(ctx context.Context, method compress.Method) context.Context {
	return context.WithValue(ctx, compressionKey{}, method)
}

// compression is how a commit's layer is packed.
func (m *Maker) compression(ctx context.Context) compress.Method {
	if c, ok := ctx.Value(compressionKey{}).(compress.Method); ok {
		return c
	}
	return m.Compression
}
