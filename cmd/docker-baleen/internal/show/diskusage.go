package show

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

// DiskUsage writes a table of what revisions take on disk, with a line for all of them.
func DiskUsage(w io.Writer, usage api.DiskUsage) error {
	t := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0) // as Docker's own tables
	fmt.Fprintln(t, "CONTAINER\tREVISIONS\tSIZE\tSHARED\tRECLAIMABLE")
	line := func(name string, revisions int, size, shared, reclaimable int64) {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s%s\n", name, revisions, Size(size), Size(shared), Size(reclaimable), percent(reclaimable, size))
	}
	for _, c := range usage.Containers {
		line(printable.Line(c.Name), c.Revisions, c.Size, c.Shared, c.Reclaimable)
	}
	line("(all)", usage.Revisions, usage.Size, usage.Shared, usage.Reclaimable)
	return t.Flush()
}

// percent is " (40%)", or "" of nothing.
func percent(part, of int64) string {
	if of <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%.0f%%)", 100*float64(part)/float64(of))
}
