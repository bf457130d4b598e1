package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
)

// Load finds the writable layer of a container when the daemon loads the container, or tries
// again to: it settles what a crash has cut short, and makes folders again that a power cut
// took, if that loses nothing. initFunc fills an init layer, as in Create. then is called if
// the layer can be used; its error is one of the layer.
//
// No container is lost for its files: together with an error there is a layer that
// cannot be mounted, and can be released.
func (s *Store) Load(ctx context.Context, ctr *moby.Container, initFunc moby.InitLayerFunc, then func(context.Context) error) (moby.RWLayer, error) {
	l, again := ctr.RWLayer.(*rwLayer)
	if !again {
		l = s.layer(ctr.ID)
	} // else somebody may be mounting it just now, which its lock keeps apart
	err := s.find(ctx, ctr.ID, Remake(ctr, initFunc))
	if err == nil {
		err = then(ctx)
	}
	if err != nil {
		return l, s.lost.lose(ctr.ID, fmt.Errorf("the files of the container cannot be used: %w", err))
	}
	s.lost.found(ctr.ID)
	return l, nil
}

// Remake says how what a power cut took of a container's layer is made again.
func Remake(ctr *moby.Container, initFunc moby.InitLayerFunc) containerstore.Remake {
	return containerstore.Remake{
		Written: func(active snapshots.Info, upper string) bool {
			return ctr.StartedAt.After(active.Created) || noted(ctr, upper)
		},
		FillInit: func(ctx context.Context, mounts []mount.Mount, hasParent bool, ids containerstore.IDs) error {
			return FillInit(ctx, mounts, hasParent, ids, initFunc)
		},
	}
}

// lostLayers are the layers that could not be loaded, by name, and why.
type lostLayers struct {
	mu      sync.Mutex
	reasons map[string]error
}

// lose notes that a layer cannot be used. Whoever asks for it later is told why, and
// not that anything is not found, which would be the container to them.
func (l *lostLayers) lose(id string, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reasons == nil {
		l.reasons = map[string]error{}
	}
	l.reasons[id] = compat.DockerError(errdefs.ErrFailedPrecondition.WithMessage(why.Error() + " (tried again when the container or the daemon is started)"))
	return compat.DockerError(why)
}

func (l *lostLayers) found(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reasons, id)
}

// why says why a layer cannot be used; nil if it can.
func (l *lostLayers) why(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reasons[id]
}

// LoadImageMount is Load for an image that is mounted into a container. It
// is mounted again if it is not, as after a restart of the machine.
func (s *Store) LoadImageMount(ctx context.Context, id string) (moby.RWLayer, error) {
	l := s.layer(id)
	s.lost.found(id)
	err := s.find(ctx, id, containerstore.Remake{
		Written: func(snapshots.Info, string) bool { return false }, // it is mounted read-only
	})
	if err == nil {
		err = l.mounted() //nolint:contextcheck // Moby mounts without one
	}
	if err != nil {
		return l, s.lost.lose(id, fmt.Errorf("image mount %s cannot be used: %w", id, err))
	}
	return l, nil
}

func (l *rwLayer) mounted() error {
	mounted, err := l.s.Files.Mounted(l.id)
	if err == nil && !mounted {
		_, err = l.Mount("")
	}
	return err
}

// Lost returns an error that says why a layer cannot be used; nil if it can, or if nobody
// has loaded it.
func (s *Store) Lost(id string) error { return s.lost.why(id) }

// IsDoubtful reports whether a layer has to be loaded again before it is used: its
// files could not be used, or a move of the container has failed half-way.
func (s *Store) IsDoubtful(layer moby.RWLayer) bool {
	l, ok := layer.(*rwLayer)
	return ok && (s.lost.why(l.id) != nil || s.Files.IsCut(l.id))
}

// mountedNote is a file in a container's folder that names the folder of the
// snapshot that was mounted last since the container was created. It is not
// synced. Should a power cut take it, what was written through the mount was not
// synced either: that would have brought both to disk.
const mountedNote = "baleen-mounted"

// note notes that the files are mounted, and may be written. What mounts them before
// the container is known to the daemon creates it, and would write the same again.
func (l *rwLayer) note(mounts []mount.Mount) {
	ctr := l.s.Containers.Get(l.id)
	upper := upperOf(mounts)
	if ctr == nil || upper == "" || upper == l.noted {
		return
	}
	if err := os.WriteFile(filepath.Join(ctr.Root, mountedNote), []byte(upper), 0o600); err != nil {
		log.G(background()).WithError(err).WithField("container", l.id).Warn("could not note that the container's files are mounted")
		return
	}
	l.noted = upper
}

func upperOf(mounts []mount.Mount) string {
	for _, m := range mounts {
		for _, option := range m.Options {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				return upper
			}
		}
	}
	return ""
}

// MountUnnoted mounts a container's root as its layer does, for who writes nothing
// that would not be written again.
func (s *Store) MountUnnoted(layer moby.RWLayer) (string, error) {
	l, ok := layer.(*rwLayer)
	if !ok {
		return "", fmt.Errorf("mount layer: not a layer of this service: %T", layer)
	}
	return l.mount(false)
}

// noted reports whether the folder of a container's snapshot was mounted.
func noted(ctr *moby.Container, upper string) bool {
	text, err := os.ReadFile(filepath.Join(ctr.Root, mountedNote))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err != nil || string(text) == upper
}
