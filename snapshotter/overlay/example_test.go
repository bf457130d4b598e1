package overlay_test

import (
	"context"
	"errors"
	"log"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

// A base is made, and changed in a snapshot on top of it. It takes root.
func Example() {
	if err := changeBase(context.Background(), "/var/lib/example"); err != nil {
		log.Fatal(err)
	}
}

func changeBase(ctx context.Context, root string) (err error) {
	s, err := overlay.New(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, step := range []struct{ name, parent string }{{"base", ""}, {"changed", "base"}} {
		mounts, err := s.Prepare(ctx, "work", step.parent)
		if err != nil {
			return err
		}
		err = mount.WithTempMount(ctx, mounts, func(root string) error {
			return os.WriteFile(filepath.Join(root, "file"), []byte(step.name), 0o644)
		})
		if err != nil {
			return err
		}
		if err := s.Commit(ctx, step.name, "work"); err != nil {
			return err
		}
	}
	return nil
}
