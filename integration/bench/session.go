package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/bench/volume"
	"github.com/baleen-project/baleen/integration/stack"
	"github.com/baleen-project/baleen/integration/stack/baseimage"
)

// How long all of it should take. The first round of everything is always
// finished; later ones, but for short ones, start only while there is time.
const (
	fullBudget  = 40 * time.Minute
	quickBudget = 5 * time.Minute
)

// The size of a volume in a file: it must hold the images, one turn of every
// contestant, and what all turns of a workload leave that keeps it.
const (
	volumeSize      = 50 << 30
	quickVolumeSize = 10 << 30
)

// session is one run of the benchmark.
type session struct {
	opts      options
	dir       string
	workloads []workload
	report    *results.Report
	began     time.Time
	newest    baseimage.Generated // that newImage has written
}

func newSession(opts options, dir string) *session {
	workloads := plan(opts.quick)
	if len(opts.only) > 0 {
		workloads = slices.DeleteFunc(workloads, func(w workload) bool { return !slices.Contains(opts.only, w.id) })
	}
	for i := range workloads {
		workloads[i].rounds = orElse(opts.rounds, workloads[i].rounds)
	}
	now := time.Now()
	return &session{
		opts: opts, dir: dir, workloads: workloads, began: now,
		report: &results.Report{Began: now, Quick: opts.quick, Cold: opts.cold},
	}
}

// control is the folder that containers see as mountedControl. It has `inside`,
// what W3 unpacks, and the sockets of the watchers.
func (s *session) control() string { return filepath.Join(s.dir, "ctl") }

// mountedControl is on a tmpfs of the container, so its mount point is no change
// of the container.
const (
	mountedControl = "/dev/bench"
	mountedInside  = mountedControl + "/inside"
	mountedSource  = mountedControl + "/source.tar"
)

// run measures all workloads on all volumes. What went wrong for one contestant
// or on one volume is in the report.
func (s *session) run(ctx context.Context) error {
	s.report.Machine = machine(ctx, s.dir)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	kinds := []volume.Kind{volume.Ext4, volume.XFS}
	for i, kind := range kinds {
		budget := fullBudget
		if s.opts.quick {
			budget = quickBudget
		}
		deadline := s.began.Add(budget * time.Duration(i+1) / time.Duration(len(kinds)))
		if err := s.onVolume(ctx, kind, deadline); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.report.Note(fmt.Sprintf("%s: %v", kind.Name, err))
		}
	}
	return nil
}

// prepare makes what all volumes need: the program for the containers, images
// and source code.
func (s *session) prepare(ctx context.Context) error {
	if err := os.Mkdir(s.control(), 0o711); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(s.control(), "inside"), "github.com/baleen-project/baleen/integration/bench/inside")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("prepare: go build inside: %w: %s", err, out)
	}
	for _, files := range s.images() {
		if err := s.writeImage(ctx, files); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if slices.ContainsFunc(s.workloads, func(w workload) bool { return w.id == "W3" }) {
		wanted := fullSource
		if s.opts.quick {
			wanted = quickSource
		}
		note, err := writeSource(ctx, filepath.Join(s.control(), "source.tar"), wanted)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		s.report.Note(note)
	}
	return nil
}

// images returns the numbers of files of the images that are needed.
func (s *session) images() []int {
	var images []int
	for _, w := range s.workloads {
		if !slices.Contains(images, w.files) {
			images = append(images, w.files)
		}
	}
	return images
}

func (s *session) archive(files int) string {
	return filepath.Join(s.dir, imageName(files)+".tar")
}

// writeImage writes the archive of an image, so that it is generated once and
// not for every contestant.
func (s *session) writeImage(ctx context.Context, files int) error {
	image := baseimage.Generated{Name: imageName(files), Base: "busybox:latest", Files: files, Bytes: imageBytes, Seed: 1}
	if s.opts.quick {
		image.Bytes = quickImageBytes
	}
	return writeArchive(ctx, image, s.archive(files))
}

func writeArchive(ctx context.Context, image baseimage.Generated, path string) error {
	bin, err := stack.BinDir()
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(image.WriteArchive(ctx, bin, file), file.Close())
}

// newImage writes the archive of an image unless it was the last one that was
// asked for.
func (s *session) newImage(ctx context.Context, image baseimage.Generated) (string, error) {
	path := filepath.Join(s.dir, "new.tar")
	if s.newest == image {
		return path, nil
	}
	s.newest = baseimage.Generated{}
	if err := writeArchive(ctx, image, path); err != nil {
		return "", err
	}
	s.newest = image
	return path, nil
}

func (s *session) onVolume(ctx context.Context, kind volume.Kind, deadline time.Time) (err error) {
	size := int64(volumeSize)
	if s.opts.quick {
		size = quickVolumeSize
	}
	v, err := volume.Open(ctx, kind, s.dir, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	key := "file system " + kind.Name
	s.report.Machine[key] = "the machine's own"
	if v.Loop != "" {
		s.report.Machine[key] = "in a sparse file, through a loop device"
	}
	a := &arena{session: s, volume: v, deadline: deadline}
	defer func() { err = errors.Join(err, a.close(ctx)) }()
	if err := a.open(ctx); err != nil {
		return err
	}
	a.play(ctx)
	return ctx.Err()
}

// publish prints the table and writes the files that were asked for.
func (s *session) publish() error {
	return errors.Join(
		s.report.WriteTable(os.Stdout),
		writeTo(s.opts.json, s.report.WriteJSON),
	)
}
