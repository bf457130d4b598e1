package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice/internal/added"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// addVolumes makes what an image's configuration asks for at the creation of a container,
// for one that has moved to that image and is locked: its working directory, and a volume
// for each path that has no mount yet, filled from the container's files. It returns the
// paths, also together with an error. Existing mounts stay as they are.
func (o *Operations) addVolumes(ctx context.Context, c *moby.Container) (paths []string, err error) {
	// What this writes to the container's files the next start would write again.
	root, err := o.files.MountUnnoted(c.RWLayer)
	if err != nil {
		return nil, err
	}
	c.BaseFS = root
	defer func() { err = errors.Join(err, o.daemon.Unmount(c)) }()
	if err := o.daemon.MakeWorkDir(c); err != nil {
		return nil, err
	}
	for spec := range c.Config.Volumes {
		path := filepath.Clean(spec)
		if c.HasMountFor(path) {
			continue
		}
		if err := o.addVolume(ctx, c, path); err != nil {
			return paths, fmt.Errorf("volume %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// addVolume leaves no volume behind if it fails.
func (o *Operations) addVolume(ctx context.Context, c *moby.Container, path string) error {
	at, err := c.GetResourcePath(path)
	if err != nil {
		return err
	}
	if i, err := os.Stat(at); err == nil && !i.IsDir() {
		return errors.New("the container has a file there")
	}
	err = o.daemon.Add(ctx, c, path)
	if err == nil {
		err = o.daemon.Fill(ctx, c, path)
	}
	if err != nil {
		return errors.Join(err, o.dropVolumes(ctx, c, []string{path}))
	}
	if m := c.MountPoints[path]; m != nil {
		added.Mark(c, m)
	}
	return nil
}

// detachAdded takes the volumes off a container, which is locked and stopped, that came
// with an upgrade and that a state does not have. The volumes are kept; the sentences name
// them.
func (o *Operations) detachAdded(ctx context.Context, c *moby.Container, s revisions.State) (sentences []string) {
	for _, path := range added.Paths(c, s.Config) {
		m := c.MountPoints[path]
		name := added.Name(m)
		if slices.Contains(s.Volumes, name) {
			continue
		}
		delete(c.MountPoints, path)
		kept := fmt.Sprintf("the volume at %s came with an upgrade and is taken off the container; its files are kept in the volume %s", path, name)
		if m.Volume == nil { // the daemon has not got to count it as in use
			sentences = append(sentences, kept)
			continue
		}
		if err := o.daemon.Release(ctx, c, name); err != nil {
			kept += fmt.Sprintf(", which counts as in use until the daemon is restarted: %v", err)
		}
		sentences = append(sentences, kept)
	}
	return sentences
}

// dropVolumes undoes addVolumes.
func (o *Operations) dropVolumes(ctx context.Context, c *moby.Container, paths []string) (err error) {
	for _, path := range paths {
		m := c.MountPoints[path]
		if m == nil || m.Volume == nil {
			continue
		}
		delete(c.MountPoints, path)
		err = errors.Join(err, o.daemon.Remove(ctx, c, m.Volume.Name()))
	}
	return err
}
