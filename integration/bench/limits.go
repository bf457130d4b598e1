package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/baleen-project/baleen/integration/bench/results"
)

// uppers returns the folders of the containers' changes, of the one contestant
// that shows them.
func (t *turn) uppers() ([]string, error) {
	var dirs []string
	for _, container := range t.containers {
		dir, err := t.who.upper(container)
		if err != nil {
			return nil, err
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// change counts the bytes and files that the containers have changed.
func (t *turn) change() (int64, int, error) {
	dirs, err := t.uppers()
	if err != nil {
		return 0, 0, err
	}
	var size int64
	var files int
	for _, dir := range dirs {
		err := eachFile(dir, func(_ string, info fs.FileInfo) error {
			size, files = size+info.Size(), files+1
			return nil
		})
		if err != nil {
			return 0, 0, fmt.Errorf("measure the change: %w", err)
		}
	}
	return size, files, nil
}

// eachFile calls visit for each regular file below dir.
func eachFile(dir string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return visit(path, info)
	})
}

// limits measures what copying and hashing of the same files take, for workloads
// of one commit each.
func (t *turn) limits(ctx context.Context) error {
	dirs, err := t.uppers()
	if err != nil || len(dirs) == 0 || t.workload.steps > 1 {
		return err
	}
	for _, limit := range []struct {
		name    string
		measure func(context.Context, []string) (results.Sample, error)
	}{
		{results.Copy, t.copying("copy", false)},
		{results.Durable, t.copying("durable", true)},
		{results.Hash, hashing},
	} {
		if err := t.settle(); err != nil {
			return err
		}
		sample, err := limit.measure(ctx, dirs)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sample.Round = t.round
		if err != nil {
			sample.Error = err.Error()
		}
		t.arena.add(t.workload, t.workload.action(), limit.name, sample)
	}
	return nil
}

// copying copies the folders on their volume, one after the other, and has them
// on disk in the end if that is asked for.
func (t *turn) copying(name string, sync bool) func(context.Context, []string) (results.Sample, error) {
	return func(ctx context.Context, dirs []string) (results.Sample, error) {
		target := filepath.Join(t.arena.volume.Dir, t.unique(name))
		if !t.workload.keeps {
			defer os.RemoveAll(target)
		}
		if err := os.MkdirAll(target, 0o700); err != nil {
			return results.Sample{}, err
		}
		began := time.Now()
		for i, dir := range dirs {
			cmd := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", dir, filepath.Join(target, fmt.Sprint(i)))
			if out, err := cmd.CombinedOutput(); err != nil {
				return results.Sample{}, fmt.Errorf("cp: %w: %s", err, out)
			}
		}
		var err error
		if sync {
			err = t.arena.volume.Sync()
		}
		return results.Sample{Wall: time.Since(began)}, err
	}
}

// hashing reads and hashes all files.
func hashing(ctx context.Context, dirs []string) (results.Sample, error) {
	began := time.Now()
	sum, buffer := sha256.New(), make([]byte, 1<<20)
	for _, dir := range dirs {
		err := eachFile(dir, func(path string, _ fs.FileInfo) error {
			return errors.Join(ctx.Err(), addFile(sum, path, buffer))
		})
		if err != nil {
			return results.Sample{}, err
		}
	}
	return results.Sample{Wall: time.Since(began)}, nil
}

func addFile(sum hash.Hash, path string, buffer []byte) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// Hidden, the file's own WriteTo would not take the buffer.
	_, err = io.CopyBuffer(sum, struct{ io.Reader }{file}, buffer)
	return err
}
