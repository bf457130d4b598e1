package show

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

// Plan shows what an upgrade or rollback would do.
func Plan(w io.Writer, container string, p api.Plan) error {
	fmt.Fprintf(w, "Plan for %s (nothing has been done)\n\nImage\n  %s -> %s\n\nFiles\n", printable.Line(container), Image(p.From), Image(p.To))
	if err := printCounts(w, p); err != nil {
		return err
	}
	if p.WholeCount > 0 {
		fmt.Fprintln(w)
	}
	if err := Whole(w, p); err != nil {
		return err
	}
	if err := printConfig(w, p.Config); err != nil {
		return err
	}
	printDependents(w, p.Dependents)
	if len(p.Warnings) > 0 {
		fmt.Fprintln(w)
		Warnings(w, p.Warnings)
	}
	if p.ConflictCount == 0 {
		fmt.Fprintln(w, "\nNo conflicts")
		return nil
	}
	fmt.Fprintln(w)
	return Conflicts(w, p)
}

func printCounts(w io.Writer, p api.Plan) error {
	if p.Kept+p.There+p.FromImage == 0 {
		fmt.Fprintln(w, "  none of the container move along")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 1, 2, ' ', tabwriter.AlignRight)
	for _, line := range []struct {
		n    int64
		text string
	}{
		{p.Kept, "of the container stay"},
		{p.There, "of the container are in the image as well"},
		{p.FromImage, "of the container give way to the image's"},
	} {
		fmt.Fprintf(t, "%d\t %s\n", line.n, line.text)
	}
	return t.Flush()
}

// Whole lists what stays as the container has it, with the old image's files. It prints
// nothing if there is none.
func Whole(w io.Writer, p api.Plan) error {
	if p.WholeCount == 0 {
		return nil
	}
	fmt.Fprintln(w, "Kept whole, as the container has it")
	t := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	for _, k := range p.Whole {
		fmt.Fprintf(t, "  %s\t%s, %s\t%d of them not touched by the container\n", value(k.Path), Plural(k.Files, "file", "files"), Size(k.Bytes), k.Untouched)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := p.WholeCount - int64(len(p.Whole)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	return nil
}

// printDependents lists the containers that share namespaces of this one.
func printDependents(w io.Writer, dependents []api.Dependent) {
	if len(dependents) == 0 {
		return
	}
	fmt.Fprintln(w, "\nContainers that share its namespaces")
	for _, d := range dependents {
		state := "is stopped"
		if d.Running {
			state = "runs"
		}
		fmt.Fprintf(w, "  %s (%s) %s\n", printable.Line(d.Name), printable.Line(strings.Join(d.Shares, ", ")), state)
	}
}

func printConfig(w io.Writer, changes []api.ConfigChange) error {
	if len(changes) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nConfiguration")
	t := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	for _, c := range changes {
		if c.Kept {
			fmt.Fprintf(t, "  %s\t%s stays, as you set it (the image has %s)\n", printable.Line(c.Field), value(c.Old), value(c.New))
		} else {
			fmt.Fprintf(t, "  %s\t%s -> %s\n", printable.Line(c.Field), value(c.Old), value(c.New))
		}
	}
	return t.Flush()
}

// Conflicts lists the paths that both sides changed, and what to do about
// those that do not bear it. It prints nothing if there are none.
func Conflicts(w io.Writer, p api.Plan) error {
	if p.ConflictCount == 0 {
		return nil
	}
	fmt.Fprintf(w, "%s: changed by the container and by the image\n", Plural(p.ConflictCount, "conflict", "conflicts"))
	t := tabwriter.NewWriter(w, 0, 1, 3, ' ', 0)
	fmt.Fprintln(t, "  PATH\tCONTAINER\tIMAGE\tWINNER\tCLASS")
	for _, c := range p.Conflicts {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", value(c.Path), printable.Line(c.Container), printable.Line(c.Image), winner(c), printable.Line(c.Class))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := p.ConflictCount - int64(len(p.Conflicts)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	for _, c := range p.Conflicts {
		for _, line := range c.Lines {
			fmt.Fprintf(w, "  in %s: %s\n", value(c.Path), printable.Line(line))
		}
	}
	printHints(w, p.Conflicts)
	fmt.Fprintln(w)
	return nil
}

func winner(c api.Conflict) string {
	if c.Winner == "" {
		return "none: fails"
	}
	return printable.Line(c.Winner)
}

// hints say what a conflict of a class means if the container wins it.
var hints = []struct{ class, text string }{
	{"package database", "The package database stays the container's: it does not know what the new image\n" +
		"  installed or updated. Bring it up to date in the container with its package manager,\n" +
		"  or let the image win: --policy %s"},
	{"accounts", "Of the users and groups in conflict only the container's are there. Programs of the\n" +
		"  new image may miss theirs. To have the image's: --policy %s"},
	{"linker cache", "The linker cache stays the container's: run ldconfig in the container if programs\n" +
		"  of the new image do not find their libraries."},
}

func printHints(w io.Writer, conflicts []api.Conflict) {
	for _, h := range hints {
		i := slices.IndexFunc(conflicts, func(c api.Conflict) bool { return c.Class == h.class && c.Winner == "container" })
		if i < 0 {
			continue
		}
		fmt.Fprintf(w, "  HINT: %s\n", strings.Replace(h.text, "%s", printable.Shell(exactly(conflicts[i].Path)+"=image"), 1))
	}
}

// exactly is the pattern of a policy that matches a path and no other.
func exactly(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
