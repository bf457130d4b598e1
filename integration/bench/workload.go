package main

import (
	"fmt"
	"slices"
	"strings"
)

// The size of generated images, whatever their number of files: so times that
// grow with the image can only grow with its files.
const (
	imageBytes      = 475 << 20
	quickImageBytes = 100 << 20
)

const base = 25_000 // files of the image that most workloads start from

// workload is a way of changing containers, which are then committed.
type workload struct {
	id    string
	title string
	// files is how many the image has.
	files  int
	rounds int
	// always has all rounds take place, also when time is up: they are short,
	// and one slow one must not decide.
	always bool
	// containers are committed at the same time, each of them steps times,
	// after each change.
	containers, steps int
	// change returns the arguments of `inside` for a step.
	change func(seed uint64, step int) []string
	// also has `docker diff` and `docker ps -s` timed.
	also bool
	// keeps has what a turn made stay until the volume is given up. ext4 makes
	// files slowly for minutes after as many were removed: it passes over the
	// inodes of each one (recently_deleted in fs/ext4/ialloc.c), and then every
	// turn would pay for the one before.
	keeps bool
	// moves is in how many rounds the container is also kept, rolled back and
	// upgraded, and path all that the workload changes in it.
	moves int
	path  string
	// meta and runs are steps of a classic build, in place of commits.
	meta, runs int
	// layers is how many an image has that is loaded, in place of commits.
	layers int
	bytes  int64 // of its files
}

// source is what W3 adds: so many files of source code. If none can be found,
// they are made up with so many bytes.
type source struct {
	files int
	bytes int64
}

var (
	fullSource  = source{files: 43_000, bytes: 700 << 20}
	quickSource = source{files: 10_000, bytes: 160 << 20}
)

// plan returns the workloads in the order of their turns.
func plan(quick bool) []workload {
	large, packed, eighth, loaded := int64(1<<30), fullSource, int64(32<<20), int64(imageBytes)
	tinyRounds, largeRounds, meta, runs := 5, 3, 20, 5
	images := []int{5_000, base, 100_000}
	if quick {
		large, packed, eighth, loaded = 256<<20, quickSource, 8<<20, quickImageBytes
		tinyRounds, largeRounds, meta, runs = 3, 2, 8, 2
		images = images[:2]
	}
	var all []workload
	for _, files := range images {
		moves := 0
		if files == base {
			moves = tinyRounds
		}
		all = append(all, workload{
			id: "W1", moves: moves, path: "/data/0000/000001", title: "one small file of the image changed", files: files, rounds: tinyRounds, always: true, also: true,
			change: func(seed uint64, _ int) []string { return insideArgs("edit", "/data/0000/000001", seed) },
		})
	}
	all = append(all,
		workload{
			id: "W2", title: fmt.Sprintf("%d MiB of random data added, in 4 files", large>>20), rounds: largeRounds, moves: largeRounds, path: "/random",
			change: func(seed uint64, _ int) []string { return insideArgs("random", "/random", 4, large, seed) },
		},
		workload{
			id: "W3", title: fmt.Sprintf("%d files of source code added", packed.files), rounds: largeRounds, also: true, keeps: true,
			// Once is what the volume has room for.
			moves: 1, path: "/src",
			change: func(seed uint64, _ int) []string { return insideArgs("unpack", mountedSource, "/src", seed) },
		},
		workload{
			id: "W4", title: fmt.Sprintf("%d MiB of text added, in files of 1 MiB", large>>20), rounds: largeRounds,
			change: func(seed uint64, _ int) []string { return insideArgs("text", "/text", large>>20, large, seed) },
		},
		workload{
			id: "W5", title: "400 files and 50 folders of 100 files deleted, 50 such folders renamed", rounds: largeRounds,
			change: func(seed uint64, _ int) []string { return insideArgs("prune", "/data", 400, 50, 50, seed) },
		},
		workload{
			id: "W6", title: fmt.Sprintf("8 containers, each with %d MiB of text in 200 files, at once", eighth>>20), rounds: largeRounds, containers: 8,
			change: func(seed uint64, _ int) []string { return insideArgs("text", "/text", 200, eighth, seed) },
		},
		workload{
			id: "W7", title: "10 commits in a row of one container, 1 MB more each time", rounds: largeRounds, steps: 10,
			change: func(seed uint64, step int) []string {
				return insideArgs("text", fmt.Sprintf("/work/%d", step), 16, 1_000_000, seed)
			},
		},
		workload{
			id: "W8", title: fmt.Sprintf("classic build of %d metadata steps and %d RUN steps", meta, runs), rounds: largeRounds,
			meta: meta, runs: runs,
		},
		workload{
			id: "W9", title: fmt.Sprintf("an image of 10 layers loaded, %d files, %d MiB", base, loaded>>20), rounds: largeRounds,
			layers: 10, bytes: loaded,
		},
	)
	return withDefaults(all)
}

// withDefaults completes what most workloads have in common.
func withDefaults(all []workload) []workload {
	for i := range all {
		w := &all[i]
		w.files, w.containers, w.steps = orElse(w.files, base), orElse(w.containers, 1), orElse(w.steps, 1)
	}
	return all
}

func orElse(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}

func insideArgs(args ...any) []string {
	list := make([]string, len(args))
	for i, arg := range args {
		list[i] = fmt.Sprint(arg)
	}
	return list
}

func workloadIDs(workloads []workload) []string {
	var ids []string
	for _, w := range workloads {
		if !slices.Contains(ids, w.id) {
			ids = append(ids, w.id)
		}
	}
	return ids
}

// seed differs between all changes of a run and not between contestants.
func (w workload) seed(round, container, step int) uint64 {
	index := uint64(w.id[1]-'0')*1000 + uint64(w.files/5000)
	return ((uint64(round)*100_000+index)*10+uint64(container))*100 + uint64(step)
}

// dockerfile is that of the build: RUN steps among metadata steps. The seed keeps
// it out of the build cache.
func (w workload) dockerfile(image string, seed uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "FROM %s\n", image)
	every := w.meta/max(1, w.runs) + 1
	for i, run := 0, 0; i < w.meta+w.runs; i++ {
		switch {
		case i%every == every-1 && run < w.runs:
			fmt.Fprintf(&b, "RUN echo %d > /step-%d\n", seed, i)
			run++
		case i%2 == 0:
			fmt.Fprintf(&b, "LABEL step-%d=%d\n", i, seed)
		default:
			fmt.Fprintf(&b, "ENV STEP_%d=%d\n", i, seed)
		}
	}
	return b.String()
}

// imageName is what the generated image of so many files is called.
func imageName(files int) string { return fmt.Sprintf("bench-%d", files) }
