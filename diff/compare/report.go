package compare

import (
	"fmt"
	"strings"

	"github.com/baleen-project/baleen/diff/internal/text"
)

// Aspect is what two trees differ in at a path.
type Aspect string

// Aspects of a path, in the order in which they are listed.
const (
	Presence          Aspect = "presence" // only one of the trees has the path
	Type              Aspect = "type"
	Mode              Aspect = "mode"
	Owner             Aspect = "owner"
	ModTime           Aspect = "mtime"
	Device            Aspect = "device"
	Target            Aspect = "target" // of a symbolic link
	ExtendedAttribute Aspect = "xattr"
	Size              Aspect = "size"
	Content           Aspect = "content"
	Holes             Aspect = "bytes on disk" // B has data where A has holes
	HardLinks         Aspect = "hard links"    // to which names the path is one
)

// Difference is one thing that two trees differ in.
type Difference struct {
	// Path begins with a slash; "/" is the root.
	Path   string
	Aspect Aspect
	// Xattr is the attribute's name, if Aspect is ExtendedAttribute.
	Xattr string
	// Offset is that of the first byte that differs, if Aspect is Content.
	Offset int64
	// A and B are what the trees have, in words.
	A, B string
}

// String tells the difference without the path: "mode 0644 in A, 0600 in B".
func (d Difference) String() string {
	var what string
	switch d.Aspect {
	case Presence, Type, HardLinks: // A and B say it
	case ExtendedAttribute:
		what = "xattr " + d.Xattr + " "
	case Content:
		what = fmt.Sprintf("content at byte %d ", d.Offset)
	default:
		what = string(d.Aspect) + " "
	}
	return what + d.A + " in A, " + d.B + " in B"
}

// TreeDifference is the error of Trees that says what differs.
type TreeDifference struct {
	// A and B are the roots of the trees.
	A, B string
	// Differences has those of the first paths, by path, as many as
	// Options.MaxDifferences allows.
	Differences []Difference
	// Paths is how many paths differ, listed or not. A directory that only one
	// tree has is one path.
	Paths int

	listed int // how many of the paths are in Differences
}

// Error tells the differences, one line for each path, such as
//
//	/etc/foo: mode 0644 in A, 0600 in B; owner 0:0 in A, 7:7 in B
func (e *TreeDifference) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trees differ at %d paths; A is %s, B is %s", e.Paths, e.A, e.B)
	last := ""
	for _, d := range e.Differences {
		if d.Path == last {
			b.WriteString("; ")
		} else {
			b.WriteString("\n\t" + text.Printable(d.Path) + ": ")
		}
		b.WriteString(d.String())
		last = d.Path
	}
	if more := e.Paths - e.listed; more > 0 {
		fmt.Fprintf(&b, "\n\tand %d more", more)
	}
	return b.String()
}

// report notes what differs at a path.
func (c *comparison) report(path string, found []Difference) {
	limit := c.opts.MaxDifferences
	if limit == 0 {
		limit = 20
	}
	list := limit < 0 || c.result.Paths < limit
	differs := false
	for _, d := range found {
		d.Path = path
		if c.opts.Accept != nil && c.opts.Accept(d) {
			continue
		}
		differs = true
		if list {
			c.result.Differences = append(c.result.Differences, d)
		}
	}
	if !differs {
		return
	}
	c.result.Paths++
	if list {
		c.result.listed++
	}
}
