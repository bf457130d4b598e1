package changes

import (
	"context"
	"fmt"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Container is a container's file system, to be read for its changes while it
// may be running.
type Container struct {
	Overlay
	// Sealed is how many of the topmost lowers hold what the container changed
	// before, which is told elsewhere: they count as the image's. [Container.Split]
	// sets it.
	Sealed int
	// Init says that the topmost lower below those is not of the image: it holds
	// what the runtime needs, files to mount over. It counts as seen by the
	// container, but nothing of it is a change.
	Init bool
	// Reserved says to tell names and paths as well that the layers of an image
	// cannot hold. Without it they are ErrReserved and ErrTooLong.
	Reserved bool
	// Whole says that the changes are for another upper, and not for a layer: all
	// attributes that a container can see are compared, and told as they are, and
	// names as with Reserved.
	Whole bool
	// Shown says that the changes are only shown: what goes or changes its type
	// while it is looked at is left out, and so is what is in a directory whose path
	// is too long for a layer.
	Shown bool
	// Also are paths that are told although nothing may have changed there, in the form
	// of [Change]'s Path. What is below them is told only if it changed. One that the
	// container does not have is errdefs.ErrInvalidArgument.
	Also []string
}

// WalkStats counts what a walk met.
type WalkStats struct {
	Changes int64 // paths reported
	Bytes   int64 // apparent size of the regular files among them
}

// Walker tells changes against an image, in the order and with the promises of
// [Container.Walk]: a container's own, or merged ones.
type Walker interface {
	Walk(ctx context.Context, visit func(*Change) error) (WalkStats, error)
}

// Walk calls visit for every change of a container against its image, in an
// order in which directories come before what is in them, and names in the
// order of their bytes. The cost follows the changes; of the image only what
// stands at the same paths is looked at.
//
// Applied on the image, the changes give what the container sees. A directory
// that holds a change is itself reported, as its time has changed. A file that
// only was copied up, and is what it was, is not.
//
// What goes or changes its type while it is looked at gives ErrChanged: a file
// that goes may have moved to where the walk has been.
//
// The walk does not end at any depth, and takes memory for the names of the
// directories that it is in, and for some of the names in them. It holds the
// descriptors of two merged directories, and of 64 directories more.
func (c *Container) Walk(ctx context.Context, visit func(*Change) error) (stats WalkStats, err error) {
	w, err := c.open(ctx, visit)
	if err != nil {
		return WalkStats{}, err
	}
	defer w.view.Close()
	defer w.at.Close()
	err = tree.Raced(w.run())
	return w.stats, err
}

// Untouched reports whether a walk would certainly tell nothing: its uppers are
// empty folders, and its root is what it was. It costs a few calls.
func (c *Container) Untouched(ctx context.Context) (bool, error) {
	w, err := c.open(ctx, nil)
	if err != nil {
		return false, err
	}
	defer w.view.Close()
	for _, upper := range w.view.Roots[:w.uppers] {
		names, err := tree.NewNameReader([]int{upper}, nil).Next()
		if err != nil || len(names) > 0 {
			return false, err
		}
	}
	p := &place{}
	defer p.close()
	if err := w.heights(p); err != nil {
		return false, err
	}
	changed, err := w.rootChanged(p)
	return !changed, err
}

func (c *Container) open(ctx context.Context, visit func(*Change) error) (*walk, error) {
	w := &walk{ctx: ctx, visit: visit, anyName: c.Reserved || c.Whole, shown: c.Shown, uppers: len(c.Uppers), sealed: c.Sealed, also: newAlso(c.Also)}
	base := w.uppers + c.Sealed // how many layers lie above the image's
	if c.Init {
		w.init = base
		base++
	}
	if len(c.Lowers) < base-w.uppers {
		return nil, fmt.Errorf("%w: %d folders, and %d of them above the image's", diff.ErrUnsupported, w.uppers+len(c.Lowers), base)
	}
	layers := append(append([]string{}, c.Uppers...), c.Lowers...)
	var err error
	if w.view, err = tree.OpenView(layers, base, c.UserXattr); err != nil {
		return nil, err
	}
	w.view.Mapped, w.view.MapIDs, w.view.Whole, w.view.Ctx = c.Mapped, c.IDs.Inside, c.Whole, ctx
	w.at = tree.NewDescent[place](w.view.OpenName, w.view.OpenName, w.view.OpenName)
	return w, nil
}
