package changes

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/inode"
)

// Limited returns a walker of the same changes that fails with [diff.ErrOverLimit] at the
// file with which a layer of them would become larger than a limit.
func Limited(changes Walker, limit diff.Limit) Walker { return limitedWalker{changes, limit} }

// LayerSize returns the size of a layer of changes, in bytes and without its headers,
// or fails with [diff.ErrOverLimit] if that is more than a limit. It reads no file.
func LayerSize(ctx context.Context, changes Walker, limit diff.Limit) (size int64, err error) {
	w := limitedWalker{changes, limit}
	_, err = w.walk(ctx, &size, func(*Change) error { return nil })
	return size, err
}

type limitedWalker struct {
	Walker
	limit diff.Limit
}

// Walk is that of the walker, with the limit.
func (w limitedWalker) Walk(ctx context.Context, visit func(*Change) error) (WalkStats, error) {
	var size int64
	return w.walk(ctx, &size, visit)
}

func (w limitedWalker) walk(ctx context.Context, size *int64, visit func(*Change) error) (_ WalkStats, err error) {
	var met inode.Set // files with several names: a layer has the content once
	defer func() { err = errors.Join(err, met.Close()) }()
	return w.Walker.Walk(ctx, func(c *Change) error {
		if c.Kind == Deleted || c.Type() != unix.S_IFREG {
			return visit(c)
		}
		had := false
		if c.Stat.Nlink > 1 {
			if had, err = met.Add(&c.Stat); err != nil {
				return err
			}
		}
		if !had {
			if err := w.limit.CheckFile(*size, c.Stat.Size); err != nil {
				return fmt.Errorf("%.500q: %w", c.Path, err)
			}
			*size += c.Stat.Size
		}
		return visit(c)
	})
}
