package changes

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

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
	// WholeRoot says to tell the root also if it has only lost attributes. A layer
	// cannot tell that; who writes an upper removes them.
	WholeRoot bool
	// Shown says that the changes are only shown: what goes or changes its type
	// while it is looked at is left out, and so is what is in a directory whose path
	// is too long for a layer.
	Shown bool
	// Also are paths that are told although nothing may have changed there, in the form
	// of [Change]'s Path. What is below them is told only if it changed. One that the
	// container does not have is errdefs.ErrInvalidArgument.
	Also []string
	// Earlier, if it has layers, is what the changes are told against, in place of the
	// Lowers alone. A regular file of the upper is told unless it is certainly a copy;
	// it is not read. There is one upper, no init layer and nothing Sealed then, and
	// what is told is for an upper on those layers: see Whole.
	Earlier Earlier
}

// Earlier are changes of a container that were sealed while it ran.
type Earlier struct {
	// Layers are the folders that hold them, topmost first. They are sealed, lie on the
	// container's Lowers, and have no owners to map.
	Layers []string
	// IsCopy reports whether what they have under a name is certainly a copy of a
	// regular file of the upper as it is now: that is name in the directory dirfd. Files
	// of several names are told all together, and so never certain. Nor is a nil one.
	IsCopy func(dirfd int, name string, now, earlier *unix.Stat_t) bool
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
	defer w.close()
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
	defer w.close()
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
	w := &walk{ctx: ctx, visit: visit, anyName: c.Reserved || c.Whole, shown: c.Shown, wholeRoot: c.WholeRoot, uppers: len(c.Uppers), sealed: c.Sealed, also: newAlso(c.Also)}
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
	w.old = w.view
	if len(c.Earlier.Layers) > 0 {
		if err := w.openEarlier(c); err != nil {
			w.view.Close()
			return nil, err
		}
	}
	w.at = tree.NewDescent[place](w.view.OpenName, w.old.OpenName, w.old.OpenName)
	return w, nil
}

// openEarlier opens what the changes are told against.
func (w *walk) openEarlier(c *Container) (err error) {
	if !c.Whole || w.uppers != 1 || w.sealed != 0 || w.init != 0 || len(c.Also) > 0 {
		return fmt.Errorf("%w: changes since earlier ones of more than one upper, or for a layer", diff.ErrUnsupported)
	}
	w.earlier, w.isCopy = len(c.Earlier.Layers), c.Earlier.IsCopy
	if w.old, err = tree.OpenView(slices.Concat(c.Earlier.Layers, c.Lowers), w.earlier, c.UserXattr); err != nil {
		return err
	}
	w.old.Whole, w.old.Ctx = true, w.ctx
	return nil
}

// close closes what open has opened.
func (w *walk) close() {
	w.at.Close()
	w.view.Close()
	w.old.Close()
}
