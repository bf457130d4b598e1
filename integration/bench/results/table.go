package results

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// block is a table of one measure on one volume.
type block struct {
	measure
	title string
	cell  func(*Report, Case, string, measure) string
}

var blocks = []block{
	{wall, wall.title, (*Report).cell},
	{wall, wall.title + ", lowest–highest (of how many, if more than one)", (*Report).spread},
	{pause, pause.title, (*Report).cell},
	{cpu, cpu.title, (*Report).cell},
	{peak, peak.title, (*Report).peakAndGrowth},
	{reads, reads.title, (*Report).cell},
	{calls, calls.title, (*Report).cell},
	{blob, blob.title, (*Report).cell},
}

// WriteTable writes all of the report as text: what it ran on, a block for each
// volume and measure with cases as rows and contestants as columns, failures,
// notes and targets. Figures are medians, with their ratio to the fork's.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	r.writeHead(&b)
	for _, volume := range r.volumes() {
		for _, block := range blocks {
			r.writeBlock(&b, volume, block)
		}
	}
	r.writeFailures(&b)
	r.writeTargets(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeHead(b *strings.Builder) {
	size := "full sizes"
	if r.Quick {
		size = "quick: smaller inputs"
	}
	fmt.Fprintf(b, "\n%s, %s, took %s\n", r.Began.Format("2006-01-02 15:04"), size, seconds(r.Seconds))
	for _, key := range slices.Sorted(maps.Keys(r.Machine)) {
		fmt.Fprintf(b, "  %-18s %s\n", key, r.Machine[key])
	}
	var told []string
	for _, s := range r.Series {
		if !slices.Contains(told, s.Workload) {
			told = append(told, s.Workload)
			fmt.Fprintf(b, "  %-18s %s\n", s.Workload, s.Title)
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintf(b, "  note: %s\n", note)
	}
}

// writeBlock writes a block without rows and columns that would be empty.
func (r *Report) writeBlock(b *strings.Builder, volume string, block block) {
	cell := func(c Case, contestant string) string { return block.cell(r, c, contestant, block.measure) }
	some := func(c Case, contestant string) bool {
		text := cell(c, contestant)
		// A failure is told once, with the times.
		return text != none && (text != failed || block.title == wall.title)
	}
	cases := r.cases(volume)
	columns := slices.DeleteFunc(r.present(volume), func(contestant string) bool {
		return !slices.ContainsFunc(cases, func(c Case) bool { return some(c, contestant) })
	})
	rows := [][]string{append([]string{""}, columns...)}
	for _, c := range cases {
		if !slices.ContainsFunc(columns, func(contestant string) bool { return some(c, contestant) }) {
			continue
		}
		row := []string{c.name()}
		for _, contestant := range columns {
			row = append(row, cell(c, contestant))
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		fmt.Fprintf(b, "\n%s: %s\n", volume, block.title)
		writeAligned(b, rows)
	}
}

// Cells without a figure: of what does not exist, and of what has failed.
const (
	none   = "–"
	failed = "failed"
)

// cell is the median, its ratio to the fork's, and what went wrong.
func (r *Report) cell(c Case, contestant string, m measure) string {
	series := r.find(c, contestant)
	if series == nil {
		return none
	}
	sum := series.summarize(m)
	if sum.good == 0 {
		if sum.failed > 0 {
			return failed
		}
		return none
	}
	text := m.format(sum.median)
	if base, ok := r.median(c, Fork, m); ok && base > 0 && contestant != Fork {
		text += " " + ratio(sum.median/base)
	}
	if sum.failed > 0 {
		text += fmt.Sprintf(" (%d failed)", sum.failed)
	}
	return text
}

// spread is the least, the most, and the number of samples.
func (r *Report) spread(c Case, contestant string, m measure) string {
	series := r.find(c, contestant)
	if series == nil {
		return none
	}
	sum := series.summarize(m)
	if sum.good < 2 {
		return none
	}
	return fmt.Sprintf("%s–%s (%d)", m.format(sum.low), m.format(sum.high), sum.good)
}

// peakAndGrowth has no ratio: what a daemon holds anyway says little.
func (r *Report) peakAndGrowth(c Case, contestant string, _ measure) string {
	most, ok := r.median(c, contestant, peak)
	if !ok {
		return none
	}
	more, _ := r.median(c, contestant, growth)
	return fmt.Sprintf("%s +%s", peak.format(most), growth.format(more))
}

// writeAligned has the first column at the left and the others at the right.
func writeAligned(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range rows {
		line := "  "
		for i, text := range row {
			blank := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i == 0 {
				line += text + blank
			} else {
				line += "   " + blank + text
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// writeFailures has equal ones of a series in one line.
func (r *Report) writeFailures(b *strings.Builder) {
	title := "\nfailures\n"
	for _, s := range r.Series {
		rounds := map[string][]string{}
		for _, sample := range s.Samples {
			if sample.Error != "" {
				rounds[sample.Error] = append(rounds[sample.Error], fmt.Sprint(sample.Round+1))
			}
		}
		for _, text := range slices.Sorted(maps.Keys(rounds)) {
			fmt.Fprintf(b, "%s  %s, %s, %s, round %s: %s\n", title, s.Volume, s.name(), s.Contestant, strings.Join(rounds[text], ", "), text)
			title = ""
		}
	}
}

func (r *Report) writeTargets(b *strings.Builder) {
	rows := [][]string{}
	for _, v := range r.Verdicts {
		rows = append(rows, []string{v.Outcome, v.Volume, v.Target, v.Got})
	}
	if len(rows) == 0 {
		return
	}
	b.WriteString("\ntargets\n")
	widths := make([]int, 3)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		for i, width := range widths {
			b.WriteString("  " + row[i] + strings.Repeat(" ", width-utf8.RuneCountInString(row[i])))
		}
		b.WriteString("  " + row[3] + "\n")
	}
}
