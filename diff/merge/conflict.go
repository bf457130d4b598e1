package merge

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/internal/text"
	"github.com/baleen-project/baleen/diff/internal/tree"
)

// Policy says who wins a conflict.
type Policy int

// Policies for a conflict.
const (
	Keep  Policy = iota // the container
	Image               // the new image
	Fail                // nobody: the merge fails
)

// String is the policy's name, in lower case.
func (p Policy) String() string {
	switch p {
	case Keep:
		return "keep"
	case Image:
		return "image"
	case Fail:
		return "fail"
	}
	return fmt.Sprintf("policy %d", int(p))
}

// Did says what one side made of a path of the old image. It reads as the end
// of a sentence: "the container changed", "the image replaced".
type Did string

// What the container and the new image can do to a path.
const (
	Created  Did = "created"
	Changed  Did = "changed"             // content, metadata or, of a directory, what is in it
	Metadata Did = "changed metadata of" // of a directory alone
	Replaced Did = "replaced"            // by a file of another type
	Removed  Did = "removed"
)

// Class says whether a conflict is of a kind to warn of.
type Class string

// Classes of conflicts.
const (
	Ordinary Class = "ordinary"
	// PackageDatabase is what a package manager knows of the installed files.
	// Neither side's tells what the merged tree holds.
	PackageDatabase Class = "package database"
	// LinkerCache is where the dynamic linker looks libraries up. ldconfig
	// makes it again.
	LinkerCache Class = "linker cache"
	// Accounts is a list of users or groups.
	Accounts Class = "accounts"
)

// classes has the paths, and all below them, that are not ordinary.
var classes = []struct {
	path  string
	class Class
}{
	{"var/lib/dpkg", PackageDatabase},         // Debian, Ubuntu
	{"var/lib/rpm", PackageDatabase},          // Fedora up to 35, RHEL up to 9
	{"usr/lib/sysimage/rpm", PackageDatabase}, // Fedora from 36, openSUSE
	{"lib/apk/db", PackageDatabase},           // Alpine
	{"usr/lib/apk/db", PackageDatabase},       // Alpine with a merged /usr
	{"var/lib/pacman", PackageDatabase},       // Arch
	{"etc/ld.so.cache", LinkerCache},          // glibc
	{"etc/passwd", Accounts}, {"etc/shadow", Accounts}, {"etc/group", Accounts},
	{"etc/gshadow", Accounts}, {"etc/subuid", Accounts}, {"etc/subgid", Accounts},
}

// ClassOf returns the class of conflicts at a path, which is as in [changes.Change].
func ClassOf(path string) Class {
	for _, c := range classes {
		if path == c.path || strings.HasPrefix(path, c.path+"/") {
			return c.class
		}
	}
	return Ordinary
}

// Conflict is a path that the container and the new image both changed, and not
// alike; or one that such a conflict takes with it.
type Conflict struct {
	Path      string // as in Change
	Container Did
	Image     Did
	Class     Class
	Winner    Policy
	// Under is empty, or the path of the conflict above that the image won, so
	// that this change of the container is dropped; Image is what it did there.
	Under string
	// Lines are of a list of accounts what in it is in conflict, the first ones: names, ids
	// and the numbers of lines.
	Lines []string
}

// String tells the conflict in a sentence without the winner.
func (c Conflict) String() string {
	if c.Under != "" {
		return fmt.Sprintf("the container %s %s, below %s", c.Container, text.Printable(c.Path), text.Printable(c.Under))
	}
	s := fmt.Sprintf("the container %s %s, the image %s it", c.Container, text.Printable(c.Path), strings.TrimSuffix(string(c.Image), " of"))
	if len(c.Lines) > 0 {
		s += ": " + text.Printable(strings.Join(c.Lines, ", "))
	}
	return s
}

// conflict is what the two sides did to a path.
func (m *meeting) conflict() Conflict {
	c := Conflict{Path: m.Path, Container: did(&m.old, m.Seen()), Image: did(&m.old, &m.image), Class: ClassOf(m.Path)}
	if m.IsDir() && m.old.IsDir() {
		// What is in a directory is merged by itself, so only metadata are left.
		for _, d := range []*Did{&c.Container, &c.Image} {
			if *d == Changed {
				*d = Metadata
			}
		}
	}
	return c
}

func did(old, now *tree.Seen) Did {
	switch {
	case !now.OK:
		return Removed
	case !old.OK:
		return Created
	case old.Kind() != now.Kind():
		return Replaced
	}
	return Changed
}

// decide asks who wins a conflict, and reports it.
func (g *merging) decide(c Conflict) Policy {
	if g.merge.Decide != nil {
		c.Winner = g.merge.Decide(c.Path)
	}
	if c.Winner < Keep || c.Winner > Fail {
		c.Winner = Fail
	}
	g.stats.Conflicts[c.Winner]++
	if c.Winner == Fail {
		g.failed.add(c)
	}
	g.report(c)
	return c.Winner
}

// drop reports that a change goes with a conflict above that the image won.
func (g *merging) drop(m *meeting, f *fate) error {
	before, err := m.Before()
	if err != nil {
		return err
	}
	g.stats.Dropped++
	g.report(Conflict{Path: m.Path, Container: did(&before, m.Seen()), Image: f.conflict.Image, Class: ClassOf(m.Path), Winner: Image, Under: f.conflict.Path})
	return nil
}

func (g *merging) report(c Conflict) {
	if g.merge.Report != nil {
		g.merge.Report(c)
	}
}

// ConflictError says that a merge failed on conflicts. It is errdefs'
// ErrConflict.
type ConflictError struct {
	First  []Conflict // the first ones, in the order of the walk
	Number int64      // of all
}

// conflictsListed bounds the first ones.
const conflictsListed = 20

func (e *ConflictError) add(c Conflict) {
	if e.Number++; len(e.First) < conflictsListed {
		e.First = append(e.First, c)
	}
}

// Error tells the number of conflicts and the first ones, one line for each.
func (e *ConflictError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d conflicts between the container and the new image", e.Number)
	for _, c := range e.First {
		b.WriteString("\n\t" + c.String())
	}
	if more := e.Number - int64(len(e.First)); more > 0 {
		fmt.Fprintf(&b, "\n\tand %d more", more)
	}
	return b.String()
}

// Unwrap returns the class of the error.
func (e *ConflictError) Unwrap() error { return errdefs.ErrConflict }
