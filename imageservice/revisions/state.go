package revisions

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/internal/added"
)

// State is Docker's side of what a container is after a [Move]. The daemon's
// record of the container is to say the same; the image's name is in Config.
type State struct {
	Config   *moby.ContainerConfig
	ImageID  moby.ImageID
	Manifest *ocispec.Descriptor // of the image; nil FROM scratch
	Platform ocispec.Platform
	// Volumes are the names of the volumes that came with an upgrade and are mounted
	// although Config does not ask for them; nil if that is not known, as of revisions that
	// earlier versions made.
	Volumes []string
}

// State returns what a container is by its files: what the daemon's own record
// must say, also if the daemon ended before it had written it. It is nil if the
// container has never moved. A move that a crash has cut in two is completed.
func (s *Store) State(ctx context.Context, id string) (*State, error) {
	st, err := s.state(ctx, id)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("look up the state of container %s: %w", id, err))
	}
	return st, nil
}

func (s *Store) state(ctx context.Context, id string) (*State, error) {
	if err := s.Files.Settle(ctx, id); err != nil {
		return nil, err
	}
	r, err := s.readState(ctx, id)
	if errdefs.IsNotFound(err) {
		if err = s.Files.Recover(ctx, id); err == nil {
			r, err = s.readState(ctx, id)
		}
	}
	if err != nil || r == nil {
		return nil, err
	}
	st, err := stateFrom(*r)
	return &st, err
}

func (s *Store) readState(ctx context.Context, id string) (*containerstore.Record, error) {
	lock := s.Files.Locks.Of(id)
	lock.RLock()
	defer lock.RUnlock()
	return s.Files.History(id, "").State(ctx)
}

// record describes what a container is now, as a revision to be made.
func record(ctr *moby.Container, kind api.Kind, message string) (containerstore.Record, error) {
	st := stateOf(ctr)
	return st.record(kind, message)
}

func stateOf(ctr *moby.Container) State {
	return State{Config: ctr.Config, ImageID: ctr.ImageID, Manifest: ctr.ImageManifest, Platform: ctr.ImagePlatform, Volumes: added.Volumes(ctr, ctr.Config)}
}

func (st State) record(kind api.Kind, message string) (containerstore.Record, error) {
	config, err := json.Marshal(st.Config)
	if err != nil {
		return containerstore.Record{}, fmt.Errorf("encode the container's configuration: %w", err)
	}
	r := containerstore.Record{
		Created: time.Now().UTC(), Kind: string(kind), Message: message,
		ImageID: digest.Digest(st.ImageID), Manifest: st.Manifest, Platform: st.Platform, Config: config, Volumes: st.Volumes,
	}
	if st.Config != nil {
		r.Image = st.Config.Image
	}
	return r, nil
}

// stateFrom reads back what record has written.
func stateFrom(r containerstore.Record) (State, error) {
	st := State{ImageID: moby.ImageID(r.ImageID), Manifest: r.Manifest, Platform: r.Platform, Volumes: r.Volumes}
	st.Config = &moby.ContainerConfig{}
	if err := json.Unmarshal(r.Config, st.Config); err != nil {
		return State{}, fmt.Errorf("decode the configuration of revision %d: %w", r.Number, err)
	}
	return st, nil
}

func revision(r containerstore.Revision) api.Revision {
	return api.Revision{
		Number: r.Number, Created: r.Created, Message: r.Message, Kind: api.Kind(r.Kind),
		Image: r.Image, ImageID: r.ImageID, Previous: r.Previous, Size: r.Size, Current: r.Current,
	}
}
