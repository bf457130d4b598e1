package imageservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	containertypes "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/container"
	"github.com/docker/docker/image"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/containerstore"
)

// history is the revisions of a container. Containers that were created with
// another storage driver than the daemon's now are read there.
func (s *Service) history(id, driver string) *containerstore.History {
	if driver == "" {
		driver = s.snapshotter
	}
	return &containerstore.History{
		Container:   id,
		Snapshotter: driver,
		Snapshots:   s.snapshots(driver),
		Content:     s.content,
		Leases:      s.leases,
		Lease:       id,
		Differ:      s.differ,
	}
}

// record describes what a container is now, as a revision to be made.
func record(ctr *container.Container, kind api.Kind, message string) (containerstore.Record, error) {
	st := stateOf(ctr)
	return st.record(kind, message)
}

func stateOf(ctr *container.Container) State {
	return State{Config: ctr.Config, ImageID: ctr.ImageID, Manifest: ctr.ImageManifest, Platform: ctr.ImagePlatform}
}

func (st State) record(kind api.Kind, message string) (containerstore.Record, error) {
	config, err := json.Marshal(st.Config)
	if err != nil {
		return containerstore.Record{}, fmt.Errorf("encode the container's configuration: %w", err)
	}
	r := containerstore.Record{
		Created: time.Now().UTC(), Kind: string(kind), Message: message,
		ImageID: digest.Digest(st.ImageID), Manifest: st.Manifest, Platform: st.Platform, Config: config,
	}
	if st.Config != nil {
		r.Image = st.Config.Image
	}
	return r, nil
}

// stateFrom reads back what record has written.
func stateFrom(r containerstore.Record) (State, error) {
	st := State{ImageID: image.ID(r.ImageID), Manifest: r.Manifest, Platform: r.Platform}
	st.Config = &containertypes.Config{}
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

// unused checks that nobody has a container's files mounted, as a running one
// has. The container's turn is locked. The container is not asked whether it
// runs: one that starts holds its lock while it waits for its turn to mount.
func (s *Service) unused(id string) error {
	root, err := s.mounter.Mounted(id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // never mounted yet
		return fmt.Errorf("look up its mount point: %w", err)
	}
	if root != "" {
		return fmt.Errorf("its files are in use: it is running, or docker cp or export for example reads it: %w", errdefs.ErrConflict)
	}
	return nil
}

// interruptedMoves notes the containers whose moves a crash has cut short. They
// are recovered when Moby asks for their layers: others on the same containerd
// are not ours.
func (s *Service) interruptedMoves(ctx context.Context) {
	ids, err := containerstore.Interrupted(ctx, s.snapshots(""))
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not look for interrupted moves of containers")
	}
	s.cut.mu.Lock()
	defer s.cut.mu.Unlock()
	s.cut.ids = ids
}

// settle completes or takes back what a crash has cut short of a container's
// moves.
func (s *Service) settle(ctx context.Context, id string) error {
	s.cut.mu.Lock()
	defer s.cut.mu.Unlock()
	at := slices.Index(s.cut.ids, id)
	if at < 0 {
		return nil
	}
	if err := s.recover(ctx, id); err != nil {
		return err
	}
	s.cut.ids = slices.Delete(s.cut.ids, at, at+1)
	log.G(ctx).WithField("container", id).Info("settled an interrupted move of the container")
	return nil
}

func (s *Service) recover(ctx context.Context, id string) error {
	turn := s.turns.get(id)
	turn.Lock()
	defer turn.Unlock()
	return s.history(id, "").Recover(ctx)
}
