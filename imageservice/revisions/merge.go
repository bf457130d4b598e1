package revisions

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/compat/printable"
	"github.com/baleen-project/baleen/containerstore"
	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/diff/xattr"
	"github.com/baleen-project/baleen/snapshotter"
)

// plan finds out what a merge would do, and whether it can take along what there is.
func (m *Move) plan(ctx context.Context, merged *merge.Changes, policies Policies) error {
	return m.merging(merged, policies, func() error {
		_, err := merged.Walk(ctx, func(c *changes.Change) error {
			if c.Kind == changes.Deleted {
				return nil
			}
			if _, err := c.Xattrs(); errors.Is(err, xattr.ErrTooLarge) {
				return err // what else fails may have changed meanwhile
			}
			return nil
		})
		return err
	})
}

// merging has what a merge does told in the plan.
func (m *Move) merging(merged *merge.Changes, policies Policies, run func() error) error {
	var stats merge.Stats
	merged.Mounts = moby.MountTargets(m.ctr)
	merged.Decide, merged.Report, merged.Stats = policies.Decide, m.conflict, &stats
	merged.ReportFollowed = m.followed
	merged.Keep, merged.ReportWhole, merged.ReportLeft, merged.ReportOwner = policies.keep, m.whole, m.left, m.owner
	err := run()
	m.count(stats)
	return err
}

// seal makes a merge a pending revision on a snapshot, which shares the data of the
// container's files where the file system can, and has copies of them otherwise.
func (m *Move) seal(ctx context.Context, merged *merge.Changes, policies Policies, r containerstore.Record, on string, previous int) error {
	err := m.merging(merged, policies, func() error {
		return m.tree.Pending(ctx, r, on, previous, func(into []mount.Mount) error {
			to, err := changes.ParseOverlay(into, on != "")
			if err != nil {
				return err
			}
			return snapshotter.Durably(ctx, to.Uppers[0], func() (snapshotter.SealStats, error) {
				return snapshotter.SealWhole(ctx, merged, to.Uppers[0])
			})
		})
	})
	if err != nil {
		return errors.Join(err, m.history.Abandon(ctx, r.Number))
	}
	m.To = revision(containerstore.Revision{Record: r, Previous: previous})
	return nil
}

// whole adds what stays whole to the plan.
func (m *Move) whole(w merge.Whole) {
	if m.Plan.WholeCount++; len(m.Plan.Whole) < listed {
		m.Plan.Whole = append(m.Plan.Whole, api.Whole{Path: shownAt(w.Path), Files: w.Files, Untouched: w.Untouched, Bytes: w.Bytes})
	}
}

// left warns of what goes from beside what the container changed.
func (m *Move) left(l merge.Left) {
	dir := shownAt(l.Path)
	text := fmt.Sprintf("%s that the container did not touch will go from %s, where it changed others: %s for one",
		count(l.Names, "file or directory", "files and directories"), printable.Line(dir), printable.Line(l.First))
	if dir != "/" {
		text += fmt.Sprintf("; --keep %s keeps that directory whole", printable.Shell(dir))
	}
	m.warn(text)
}

// followed tells where the container's changes go if not where they were.
func (m *Move) followed(path, to string) {
	m.warn(fmt.Sprintf("%s is a link to %s in the new image: what the container changed in it goes there", printable.Line(shownAt(path)), printable.Line(shownAt(to))))
}

// owner warns of files whose owner has another id in the new image.
func (m *Move) owner(o merge.Owner) {
	if o.Files > 0 {
		m.warn(fmt.Sprintf("%s with the id %s: %s for one", count(o.Files, "path stays", "paths stay"), otherID(o), printable.Line(shownAt(o.First))))
	}
	m.onVolumes(o)
}

// otherID says whose an id is, and which one that is in the new image.
func otherID(o merge.Owner) string {
	kind := "user"
	if o.Group {
		kind = "group"
	}
	name := printable.Line(o.Name)
	return fmt.Sprintf("%d, which is the %s %s now; in the new image %s has the id %d", o.Old, kind, name, name, o.New)
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func (m *Move) warn(text string) {
	if len(m.Plan.Warnings) < listed {
		m.Plan.Warnings = append(m.Plan.Warnings, text)
	}
}

// shownAt is a path of a merge as people write it.
func shownAt(path string) string {
	if path == "." {
		return "/"
	}
	return "/" + path
}
