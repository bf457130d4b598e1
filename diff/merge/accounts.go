package merge

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/baleen-project/baleen/diff/changes"
	"github.com/baleen-project/baleen/diff/internal/accounts"
	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
	"github.com/baleen-project/baleen/diff/xattr"
)

// accounts merges a file that lists users or groups and that both sides changed by the
// names in it. It is not done for what is no such list: that is a conflict as a whole.
func (g *merging) accounts(m *meeting) (done bool, err error) {
	format, ok := accounts.FormatOf(m.Path)
	if !ok || m.Kind == changes.Deleted {
		return false, nil
	}
	var texts [3][]byte
	for i, side := range []*tree.Seen{&m.old, m.Seen(), &m.image} {
		if texts[i], ok, err = readList(side); err != nil {
			return false, fmt.Errorf("read %s: %w", text.Beginning(m.Path), tree.Raced(err))
		} else if !ok && (side.OK || side != &m.old) {
			return false, nil
		}
	}
	merged, err := accounts.Merge(format, texts[0], texts[1], texts[2])
	if errors.Is(err, accounts.ErrFormat) {
		return false, nil
	} else if err != nil {
		return false, m.compared(err)
	}
	winner := Keep
	if len(merged.Conflicts) > 0 {
		c := m.conflict()
		for _, of := range merged.Conflicts[:min(len(merged.Conflicts), conflictsListed)] {
			c.Lines = append(c.Lines, of.String())
		}
		if more := len(merged.Conflicts) - len(c.Lines); more > 0 {
			c.Lines = append(c.Lines, fmt.Sprintf("and %d more", more))
		}
		if winner = g.decide(c); winner == Fail {
			return true, nil
		}
	}
	return true, g.mergedList(m, merged.Text(winner == Keep), texts[2])
}

// mergedList tells a merged list. It has the mode, the owner and the attributes of the new
// image's, unless the container changed those.
func (g *merging) mergedList(m *meeting, list, image []byte) error {
	c := m.onImage()
	idle, err := sameMetadata(&m.old, m.Seen())
	if err != nil {
		return m.compared(err)
	}
	if idle {
		c.ReadFrom(&m.image, g.way, len(g.way.Levels)-1)
		c.Stat.Mtim = m.Stat.Mtim
	}
	if idle && bytes.Equal(list, image) {
		g.stats.There++
		return nil
	}
	c.Rewrite(list)
	g.stats.Kept++
	if err := g.reach(m.in); err != nil {
		return err
	}
	return g.tell(c)
}

// readList reads a regular file that is small enough to be a list of accounts.
func readList(s *tree.Seen) (list []byte, ok bool, err error) {
	if !s.OK || s.Kind() != unix.S_IFREG || s.Stat.Size > accounts.MaxSize {
		return nil, false, nil
	}
	f, err := s.View.OpenContent(s.Dir, &s.Entry)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	list, err = io.ReadAll(io.LimitReader(f, accounts.MaxSize+1))
	return list, err == nil && len(list) <= accounts.MaxSize, err
}

// sameMetadata compares owner, mode and attributes.
func sameMetadata(a, b *tree.Seen) (bool, error) {
	if !a.OK || a.Stat.Mode != b.Stat.Mode || a.Stat.Uid != b.Stat.Uid || a.Stat.Gid != b.Stat.Gid {
		return false, nil
	}
	x, err := a.View.Xattrs(&a.Entry)
	if err != nil {
		return false, err
	}
	y, err := b.View.Xattrs(&b.Entry)
	return err == nil && xattr.Equal(x, y), err
}
