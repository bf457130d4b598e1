package imageservice

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/imageservice/internal/lease"
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
		Tasks:       s.client.TaskService(),
		Lease:       id,
		Differ:      s.differ,
	}
}

// record describes what a container is now, as a revision to be made.
func record(ctr *moby.Container, kind api.Kind, message string) (containerstore.Record, error) {
	st := stateOf(ctr)
	return st.record(kind, message)
}

func stateOf(ctr *moby.Container) State {
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
	st := State{ImageID: moby.ImageID(r.ImageID), Manifest: r.Manifest, Platform: r.Platform}
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

// Mounted reports whether the root of a container is mounted, also if an earlier
// daemon has mounted it.
func (s *Service) Mounted(id string) (bool, error) {
	root, err := s.mounter.Mounted(id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // never mounted yet
		return false, fmt.Errorf("look up its mount point: %w", err)
	}
	return root != "", nil
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

// reopen mends what a power cut has left of a container's snapshots.
func (s *Service) reopen(ctx context.Context, id string, how containerstore.Remake) error {
	lock := s.locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	operation := "reopen-" + rand.Text() // it mounts what it makes again
	s.operations.Note(operation, id)
	defer s.operations.Forget(operation)
	return s.history(id, "").Reopen(ctx, how)
}

// settle completes or takes back what a crash has cut short of a container's
// moves.
func (s *Service) settle(ctx context.Context, id string) error {
	if !s.isCut(id) {
		return nil
	}
	err := s.recoverCut(ctx, id)
	if errors.Is(err, containerstore.ErrLeft) {
		// It can be used. It still counts as cut, and whoever uses it tries again.
		log.G(ctx).WithError(err).WithField("container", id).Warn("settled an interrupted move of the container, but for what it has left")
		return nil
	}
	if err != nil {
		return err
	}
	s.settled(id)
	log.G(ctx).WithField("container", id).Info("settled an interrupted move of the container")
	return nil
}

func (s *Service) isCut(id string) bool {
	s.cut.mu.Lock()
	defer s.cut.mu.Unlock()
	return slices.Contains(s.cut.ids, id)
}

// noteCut notes that a container is to be loaded again before it is used.
func (s *Service) noteCut(id string) {
	s.cut.mu.Lock()
	defer s.cut.mu.Unlock()
	if !slices.Contains(s.cut.ids, id) {
		s.cut.ids = append(s.cut.ids, id)
	}
}

// settled notes that nothing is left undone of a container's moves.
func (s *Service) settled(id string) {
	s.cut.mu.Lock()
	defer s.cut.mu.Unlock()
	s.cut.ids = slices.DeleteFunc(s.cut.ids, func(other string) bool { return other == id })
}

// settleLater goes on trying to settle a container's moves. What it does not get
// done the next start or move of the container does, or the next start of the
// daemon. Whichever comes first also looks what the container is then: until it has,
// the daemon's record may say something else than the files are.
func (s *Service) settleLater(ctx context.Context, id string) {
	s.noteCut(id)
	go func() {
		if err := lease.Retry(ctx, func(ctx context.Context) error { return s.recoverCut(ctx, id) }); err != nil {
			log.G(ctx).WithError(err).WithField("container", id).Error("gave up settling a move of the container; its next start or move, or the next start of the daemon, tries again")
		}
	}()
}

// recoverCut completes what was cut short of a container's moves, unless that has
// been done meanwhile.
func (s *Service) recoverCut(ctx context.Context, id string) error {
	lock := s.locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	// A move that has begun meanwhile has settled it, and what it prepares is
	// not to be taken back.
	if !s.isCut(id) {
		return nil
	}
	return s.history(id, "").Recover(ctx)
}

// recover is settle for a container of which something is missing.
func (s *Service) recover(ctx context.Context, id string) error {
	lock := s.locks.Of(id)
	lock.Lock()
	defer lock.Unlock()
	err := s.history(id, "").Recover(ctx)
	if errors.Is(err, containerstore.ErrLeft) {
		s.settleLater(ctx, id)
		return nil
	}
	return err
}
