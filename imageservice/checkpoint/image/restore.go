package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/imageservice/checkpoint/settings"
	"github.com/baleen-project/baleen/imageservice/internal/blobs"
	"github.com/baleen-project/baleen/imageservice/internal/progress"
)

// Restore is a checkpoint that has been found whole and fit for this daemon. The
// daemon creates the container as the fields say, with its layer by
// [Restore.CreateLayer]; End comes after it.
type Restore struct {
	Name   string // of the container that was checkpointed
	Kind   string // of the checkpoint
	Config *moby.ContainerConfig
	Host   *moby.HostConfig
	// Networks are by name.
	Networks map[string]*moby.EndpointSettings
	// Image is by what the daemon finds the container's image, "" FROM scratch;
	// Config.Image is by what it was asked for. Platform is the image's.
	Image    string
	Platform ocispec.Platform
	Warnings []string
	// Bytes, if it is set, is told how far the files and the processes have been
	// unpacked.
	Bytes progress.Func
	// Process is what the checkpoint has of processes, dumped by that version of
	// CRIU; nil in one of files. [Restore.UnpackProcess] makes of it what containerd
	// reads.
	Process *ocispec.Descriptor
	CRIU    string

	s          *Store
	asked      settings.Configuration
	checkpoint *checkpoint.Checkpoint
	index      digest.Digest
	base       *ocispec.Descriptor
	shared     digest.Digest // whose image record a restore under way has made; "" for none
	lease      string        // until End
	end        func(error)
}

// RestoreOptions says what a checkpoint may ask for.
type RestoreOptions struct {
	// Trust allows one that this daemon has not made to ask for what reaches out of a
	// container: host folders, privileges, other containers' volumes and networks.
	Trust bool
	// Plain is what the daemon gives to a container of which nothing is asked: that
	// needs no trust.
	Plain *moby.HostConfig
	// Request is the request, whose other fields replace what the checkpoint says.
	Request api.RestoreRequest
}

// PrepareRestore looks at a checkpoint, and makes the image of its container
// known to the daemon. Nothing else is there before the container is created.
func (s *Store) PrepareRestore(ctx context.Context, ref string, o RestoreOptions) (*Restore, error) {
	r, err := s.prepareRestore(ctx, ref, o)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("restore %s: %w", ref, err))
	}
	return r, nil
}

func (s *Store) prepareRestore(ctx context.Context, ref string, o RestoreOptions) (prepared *Restore, err error) {
	img, err := s.Resolver.ResolveImage(ctx, ref)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.Files.Operations.Begin(ctx, "restore", img.Target.Digest.String(), false)
	if err != nil {
		return nil, err
	}
	r := &Restore{s: s, index: img.Target.Digest, end: end}
	r.lease, _ = leases.FromContext(ctx)
	defer func() {
		if prepared == nil { // a panic has no error
			r.End(ctx, cmp.Or(err, errUnprepared))
		}
	}()
	// Whoever removes the image now does not take it away.
	if err := s.Files.Operations.KeepBlob(ctx, img.Target.Digest); err != nil {
		return nil, err
	}
	c, err := checkpoint.Read(ctx, s.Files.Content, img.Target)
	if err != nil {
		return nil, err
	}
	r.checkpoint, r.Kind, r.Process, r.CRIU, r.base, r.Platform = c, c.Kind(), c.Process, c.CRIU, c.Base, c.Platform
	if err := r.prepare(ctx, o); err != nil {
		return nil, err
	}
	return r, nil
}

var errUnprepared = errors.New("the restore was not prepared")

func (r *Restore) prepare(ctx context.Context, o RestoreOptions) error {
	if host := platforms.DefaultSpec(); !platforms.Only(host).Match(r.Platform) {
		return fmt.Errorf("it is of a container for %s, and this daemon runs %s: %w",
			platforms.FormatAll(r.Platform), platforms.FormatAll(host), errdefs.ErrInvalidArgument)
	}
	described, err := r.checkpoint.ReadContainer(ctx, r.s.Files.Content)
	if err != nil {
		return err
	}
	if (described.Manifest == nil) != (r.base == nil) {
		return fmt.Errorf("the checkpoint has no image of the container: %w", errdefs.ErrNotFound)
	}
	if r.asked, err = settings.Read(described); err != nil {
		return err
	}
	by := settings.Replacement{RestoreRequest: o.Request}
	if r.Process != nil && !o.Request.CreateOnly {
		if err := by.CheckProcesses(r.asked, described.Volumes); err != nil {
			return err
		}
	}
	volumes := by.Withdraw(&r.asked, described.Volumes)
	r.Name, r.Config, r.Host = described.Name, r.asked.Config, r.asked.Host
	if r.Process == nil { // processes find what they had
		r.asked.HideHere()
	}
	if !o.Trust {
		if err := r.checkTrust(ctx, o.Plain); err != nil {
			return err
		}
	}
	if r.Process == nil && strings.HasPrefix(described.ID, r.Config.Hostname) {
		r.Config.Hostname = "" // it was made from the id: the new one gives another
	}
	if err := by.Apply(&r.asked); err != nil {
		return err
	}
	r.Networks = r.asked.Networks
	if len(volumes) > 0 {
		var paths []string
		for _, path := range volumes {
			paths = append(paths, settings.Shorten(path))
		}
		r.Warnings = append(r.Warnings, "volumes are new, or what this daemon has by their names: "+settings.List(paths))
	}
	if kept := r.asked.KeptMACs(); len(kept) > 0 {
		r.Warnings = append(r.Warnings, "the MAC address stays: "+settings.List(kept)+"; if another container has it there, both lose packets (--network or --ip gives a new one)")
	}
	return r.imageRecord(ctx, described)
}

// labelMadeBy, on the index of a checkpoint in the content store, is the daemon that
// made it. Labels there are containerd's own: none come along with an image.
const labelMadeBy = "io.baleen.checkpoint.made-by"

// checkTrust returns an error if a checkpoint of somebody else gives a container what an
// image could not: what is run by its configuration may be anything. plain is
// what the daemon gives to a container of which nothing is asked.
func (r *Restore) checkTrust(ctx context.Context, plain *moby.HostConfig) error {
	info, err := r.s.Files.Content.Info(ctx, r.index)
	if err != nil {
		return fmt.Errorf("look up the checkpoint: %w", err)
	}
	if maker := info.Labels[labelMadeBy]; maker != "" && maker == r.s.Owner {
		return nil
	}
	asked := r.asked.Asked(plain)
	if r.Process != nil {
		asked = append(asked, "processes as CRIU has dumped them")
	}
	if len(asked) == 0 {
		return nil
	}
	return fmt.Errorf("it was not made by this daemon, and asks for what reaches out of a container: %s; allow it with --trust if you trust those who made it: %w",
		settings.List(asked), errdefs.ErrPermissionDenied)
}

// CreateLayer makes the writable layer of the container, with the files that it
// had. When it fails, nothing remains.
func (r *Restore) CreateLayer(ctx context.Context, ctr *moby.Container, initFunc moby.InitLayerFunc) (moby.RWLayer, error) {
	// The one of the checkpoint, should the daemon have chosen another platform's.
	ctr.ImageManifest = r.base
	l, err := r.s.Layers.Create(ctx, ctr, initFunc, r.fill)
	if err != nil {
		return nil, compat.DockerError(fmt.Errorf("restore the files of container %s: %w", ctr.ID, err))
	}
	return l, nil
}

// fill writes the container's changes into its layer, which is empty.
func (r *Restore) fill(ctx context.Context, mounts []mount.Mount) error {
	var total int64
	for _, l := range r.checkpoint.Own {
		total += l.Blob.Size
	}
	from := progress.Store{Store: r.s.Files.Content, Meter: progress.NewMeter(progress.With(ctx, r.Bytes), total)}
	return r.checkpoint.Fill(ctx, mounts, func(ctx context.Context, layer ocispec.Descriptor) (io.ReadCloser, error) {
		return blobs.FetchFrom(ctx, from, layer)
	}, r.s.Limit)
}

// End ends the restore: with a failure, what it made goes.
func (r *Restore) End(ctx context.Context, failure error) {
	defer r.end(failure)
	r.endImage(ctx, failure)
}
