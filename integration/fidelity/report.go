package fidelity

import (
	"fmt"
	"io"
	"strings"
)

// Report collects verdicts of one flavor in one mode.
type Report struct {
	Title    string
	Verdicts []Verdict
}

// Summary is one line: how many cases went well.
func (r *Report) Summary() string {
	var image, diff, checked int
	for _, v := range r.Verdicts {
		if v.Image == nil {
			image++
		}
		if v.Case.Diff == nil {
			continue
		}
		checked++
		if v.Diff == nil {
			diff++
		}
	}
	return fmt.Sprintf("%-16s commit %3d of %3d, diff %2d of %2d", r.Title, image, len(r.Verdicts), diff, checked)
}

// Write prints the summary and, for each case that failed, why.
func (r *Report) Write(w io.Writer) {
	fmt.Fprintln(w, r.Summary())
	for _, v := range r.Verdicts {
		for _, part := range []struct {
			what string
			err  error
		}{{"commit", v.Image}, {"diff", v.Diff}} {
			if part.err != nil {
				fmt.Fprintf(w, "    %-6s  %s: %s\n", part.what, v.Case.Name, firstLines(part.err))
			}
		}
	}
}

// firstLines shortens an error to what fits on a line.
func firstLines(err error) string {
	const enough = 230
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > enough {
		return strings.ToValidUTF8(text[:enough], "") + "..."
	}
	return text
}
