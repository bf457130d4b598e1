package merge

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Changes moves a container's changes from its image to another one. Three trees
// meet: the old image, the container, and the new image. Each path is merged for
// itself:
//
//   - What the container did not change follows the new image.
//   - What the new image has as the old one had it stays the container's.
//   - What both changed alike is the new image's, and needs no change.
//   - All else is a [Conflict], decided by a [Policy].
//
// Files are alike if type, mode, owner, content and carried attributes are, or
// all attributes if the container is Whole. Time alone never makes a conflict: a
// file of which the container changed nothing else follows an image that changed
// it, and keeps its time otherwise.
//
// # Directories
//
// Mode, owner and attributes of a directory are merged as one thing, what is in
// it path by path. Its time is the container's if it holds a change that stays,
// or if only the container changed it.
//
// A directory that the container deleted, or put something else in the place of,
// is one path: if the images differ anywhere below, that is one conflict, and
// its outcome holds for the whole of it. What the new image added in a directory
// that the container deleted and made again, or moved another one to, shows.
//
// Where the new image dropped a directory, or has something else in its place, that
// is one conflict, if the container changed more in it than times and deletions:
// either the directory stays whole, with what the container did not change, or all
// of it goes. Files that belong together, as those of a database, stay together. The
// same holds for a directory that the container made where the new image has
// something else.
//
// If the new image has a link to another directory in its place, as a merged /usr has for
// /bin, what the container changed goes there: it is merged with what the new image has in
// that directory. What the container changed under both paths stays as it is in that
// directory. Such a link is followed inside the new image only.
//
// A path of Keep stays whole as well: it is what the container has, and nothing in it
// is the new image's.
//
// # Accounts
//
// The files that list users and groups (/etc/passwd, shadow, group, gshadow, subuid and
// subgid) are merged by the names in them, if both sides changed one: a name that only one
// side changed gets that side's lines. A name that both changed, and an id that they gave
// to two names, make a conflict, which names the lines; whoever wins it has its lines for
// these names, and the rest is merged.
//
// # Hard links
//
// Each name of a file is a path. The names that stay are one file if they were;
// one that the image has alike already is the image's, and no longer tied to
// them.
type Changes struct {
	// Container has the changes; its layers below them are the old image.
	Container *changes.Container
	// New are the folders of the new image's layers, topmost first.
	New []string
	// Decide says who wins a conflict at a path, which is as in [changes.Change]. Nil
	// is Keep for all.
	Decide func(path string) Policy
	// Keep are paths, in the form of Decide's, that stay whole whatever the new image
	// has there. One that the container does not have is errdefs.ErrInvalidArgument.
	Keep []string
	// Mounts are the paths, absolute and with the links that the container has, at which
	// its runtime mounts something. What the runtime made there is left out: empty files,
	// and directories in which nothing else is.
	Mounts []string
	// Report, if not nil, is told every conflict, in the order of the walk,
	// and after one that Image decided all that was dropped below.
	Report func(Conflict)
	// ReportWhole, if not nil, is told what stayed whole, after all of it has been told.
	ReportWhole func(Whole)
	// ReportLeft, if not nil, is told of directories in which the container changed files
	// of the old image, and from which other files go with the new one.
	ReportLeft func(Left)
	// ReportOwner, if not nil, is told at the end of users and groups that have another id
	// in the new image than in the container.
	ReportOwner func(Owner)
	// ReportFollowed, if not nil, is told of directories that became links in the new image,
	// and to where they lead.
	ReportFollowed func(path, to string)
	// Stats, if not nil, gets the counts of a walk that ends.
	Stats *Stats
}

// Stats counts what became of the changes of a container. Directories
// that are told only for what is in them do not count.
type Stats struct {
	Kept    int64 // are changes on the new image too, or in what stays whole
	There   int64 // the new image has made as well
	Image   int64 // were times alone, on what the new image changed
	Dropped int64 // were below a path that a conflict gave to the image
	// Conflicts are counted by who won.
	Conflicts [Fail + 1]int64
}

// Whole is a path that stays as the container has it.
type Whole struct {
	Path      string // as in [changes.Change]
	Files     int64  // that it has, directories left out
	Untouched int64  // of them, as the old image has them
	Bytes     int64  // apparent size of the files
}

// Left is a directory from which the new image took what the container had not touched,
// and in which the container changed something else.
type Left struct {
	Path  string // as in [changes.Change]
	First string // the first name that goes, in the order of bytes
	Names int64  // that go, files and directories
}

// Walk calls visit for every change that makes the merged state of the new
// image, as [changes.Container.Walk] does for a container's. The cost follows the
// container's changes; of both images only what stands at the same paths is
// looked at, and all of a directory that the container deleted, save for what
// lies in layers that both images have. Of what stays whole all is looked at.
//
// If a conflict is one to fail on, the walk goes on to find the others, but
// visit is not called any more; the error is a [*ConflictError].
//
// What goes to another directory is told last, and the directories on the way to it again:
// [changes.Change]'s Through tells so.
func (m *Changes) Walk(ctx context.Context, visit func(*changes.Change) error) (changes.WalkStats, error) {
	image, err := tree.OpenView(m.New, 0, m.Container.UserXattr)
	if err != nil {
		return changes.WalkStats{}, err
	}
	defer image.Close()
	image.Whole = m.Container.Whole
	g := &merging{ctx: ctx, merge: m, visit: visit, image: image, way: tree.NewDescent[*mergeDir](image.OpenName), kept: map[string]bool{}}
	defer g.way.Close()
	root, err := image.Root(0, 0)
	if err != nil {
		return changes.WalkStats{}, err
	}
	g.push(&mergeDir{image: root}, "")
	own := *m.Container
	own.Also = m.Keep
	if err := g.lookAhead(&own); err != nil {
		return g.walked, tree.Raced(err)
	}
	_, err = own.Walk(ctx, g.change)
	if err == nil {
		err = g.follow()
	}
	if m.Stats != nil {
		*m.Stats = g.stats
	}
	if err == nil {
		err = g.keptAll()
	}
	if err == nil && m.ReportOwner != nil {
		g.owners.tell(m.ReportOwner)
	}
	if err == nil && g.failed.Number > 0 {
		err = &g.failed
	}
	return g.walked, err
}

// lookAhead finds out what must be known of the container before the walk.
func (g *merging) lookAhead(own *changes.Container) error {
	layers := append(slices.Clone(own.Uppers), own.Lowers...)
	view, err := tree.OpenView(layers, len(layers), own.UserXattr)
	if err != nil {
		return err
	}
	defer view.Close()
	if err := g.stubs.open(view, g.merge.Mounts); err != nil {
		return fmt.Errorf("look up mounts: %w", err)
	}
	if err := g.hide(); err != nil {
		return fmt.Errorf("look up mounts in the new image: %w", err)
	}
	if g.merge.ReportOwner == nil {
		return nil
	}
	if err := g.owners.open(view, g.image, own); err != nil {
		return fmt.Errorf("look up owners: %w", err)
	}
	return nil
}

// merging is one walk of Changes.
type merging struct {
	ctx    context.Context
	merge  *Changes
	visit  func(*changes.Change) error
	image  *tree.View               // the new image
	way    *tree.Descent[*mergeDir] // to the directory last met
	walked changes.WalkStats
	stats  Stats
	failed ConflictError
	kept   map[string]bool // the paths of Keep that have been met
	owners owners
	stubs  stubs
	hides  map[string]bool // the paths at which mounts are on the new image
	moved  []move          // directories that became links
	over   *tree.View      // where they lead, what the container has there; nil in the first walk
}

// mergeDir is a directory in which the container changed something.
type mergeDir struct {
	above *mergeDir
	image *tree.Dir // the new image's; nil if it has no directory there
	// change tells the folder, before the first thing in it that stays. It is
	// nil when that has been done. The walk of the container has not left the
	// folder while it is on the stack, so the change is still valid.
	change *changes.Change
	fate   *fate     // of all that is in it; nil if each path has its own
	looked bool      // whether it is known what goes from it
	own    *tree.Dir // where a link leads, the container's; nil if it has none there
}

// meeting is a path that the container changed, as the three trees have it.
type meeting struct {
	*changes.Change
	in    *mergeDir
	old   tree.Seen // in the old image
	image tree.Seen // in the new image
	stub  bool      // the runtime made it
}

// change merges one change of the container.
func (g *merging) change(c *changes.Change) (err error) {
	if c.Depth() == 0 {
		return g.root(c)
	}
	if err := g.leaveTo(c.Depth()); err != nil {
		return fmt.Errorf("look at %s in the new image: %w", text.Beginning(c.Path), err)
	}
	m := &meeting{Change: c, in: g.way.Top().Of}
	if m.stub, err = g.stubs.made(c); err != nil || m.stub && !c.IsDir() {
		return err
	}
	whole := c.Kind != changes.Deleted && slices.Contains(g.merge.Keep, c.Path)
	if whole {
		g.kept[c.Path] = true
	}
	if m.in.fate != nil {
		return g.below(m, whole)
	}
	if m.old, err = c.InImage(); err != nil {
		return err
	}
	if m.image, err = tree.Look(g.image, m.in.image, c.Name()); err != nil {
		return err
	}
	if whole {
		return g.keepWhole(m)
	}
	return g.path(m)
}

// path merges a path that stands for itself.
func (g *merging) path(m *meeting) error {
	if m.IsDir() {
		return g.directory(m)
	}
	return g.single(m)
}

// single merges a deletion or anything but a directory.
func (g *merging) single(m *meeting) error {
	switch {
	case !m.image.OK && m.Kind == changes.Deleted:
		g.stats.There++
		return nil
	case !m.image.OK && !m.old.OK:
		return g.keep(m)
	}
	if unchanged, err := g.sameTree(m.Path, &m.old, &m.image); err != nil {
		return err
	} else if unchanged {
		return g.keep(m)
	}
	if m.Kind != changes.Deleted {
		if there, err := tree.Alike(m.Seen(), &m.image); err != nil {
			return m.compared(err)
		} else if there {
			g.stats.There++
			return nil
		}
		if same, err := m.timeOnly(); err != nil {
			return err
		} else if same {
			g.stats.Image++
			return nil
		}
	}
	if done, err := g.accounts(m); done || err != nil {
		return err
	}
	if g.decide(m.conflict()) == Keep {
		return g.keep(m)
	}
	return nil
}

// keep tells a change of the container's that stays.
func (g *merging) keep(m *meeting) error {
	g.stats.Kept++
	if err := g.reach(m.in); err != nil {
		return err
	}
	if err := g.left(m); err != nil {
		return err
	}
	return g.tell(m.onImage())
}

// onImage is the change as one of the new image.
func (m *meeting) onImage() *changes.Change {
	c := *m.Change
	switch {
	case c.Kind == changes.Deleted:
	case m.image.OK:
		c.Kind = changes.Modified
	default:
		c.Kind = changes.Added
	}
	return &c
}

// reach tells a folder, and those that it is in, if that has not been done.
func (g *merging) reach(f *mergeDir) error {
	var untold []*mergeDir
	for ; f.change != nil; f = f.above {
		untold = append(untold, f)
	}
	for _, f := range slices.Backward(untold) {
		c := f.change
		f.change = nil
		if err := g.tell(c); err != nil {
			return err
		}
	}
	return nil
}

func (g *merging) tell(c *changes.Change) error {
	if g.failed.Number > 0 {
		return nil
	}
	g.walked.Changes++
	g.owners.count(c)
	if c.Type() == unix.S_IFREG {
		g.walked.Bytes += c.Stat.Size
	}
	return g.visit(c)
}

// push goes down into a directory of the container.
func (g *merging) push(f *mergeDir, name string) { g.way.Push(name, f, f.image, f.own) }

// leaveTo leaves directories until as many are left, with the root.
func (g *merging) leaveTo(depth int) error {
	for len(g.way.Levels) > depth {
		if err := g.way.Pop(); err != nil {
			return err
		}
	}
	return nil
}
