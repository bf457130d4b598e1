package fork

import (
	"bytes"
	"fmt"
	"strings"
)

// Format returns the patch as the text of its file, in the form of git
// format-patch without all that varies: no hashes, date or version of git.
func (p Patch) Format() []byte {
	var b bytes.Buffer
	b.WriteString("From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n" +
		"From: Baleen maintainers <maintainers@baleen.invalid>\n")
	fmt.Fprintf(&b, "Subject: [PATCH] %s\n\n", p.Subject)
	if p.Body != "" {
		b.WriteString(p.Body)
	}
	b.WriteString("---\n")
	for _, f := range p.Files {
		fmt.Fprintf(&b, "diff --git a/%[1]s b/%[1]s\n--- a/%[1]s\n+++ b/%[1]s\n", f.Path)
		for _, h := range f.Hunks {
			h.format(&b)
		}
	}
	return b.Bytes()
}

func (h Hunk) format(b *bytes.Buffer) {
	head := fmt.Sprintf("@@ -%d,%d +%d,%d @@ %s", h.OldLine, h.count('+'), h.NewLine, h.count('-'), h.Section)
	b.WriteString(strings.TrimSuffix(head, " ") + "\n")
	for _, l := range h.Lines {
		b.WriteByte(l.Kind)
		b.WriteString(l.Text + "\n")
	}
}

func (h Hunk) count(without byte) (n int) {
	for _, l := range h.Lines {
		if l.Kind != without {
			n++
		}
	}
	return n
}

// Narrow returns the patch with as little context as makes the old lines of
// each hunk stand exactly once in the files that it is for, and with line
// numbers and sections of those files. A hunk keeps a line of context behind its
// changes: git takes one without for the end of the file.
func (p Patch) Narrow(read func(path string) ([]byte, error)) (Patch, error) {
	files := make([]FileDiff, 0, len(p.Files))
	for _, f := range p.Files {
		text, err := read(f.Path)
		if err != nil {
			return p, fmt.Errorf("patch %s: %w", p.Name, err)
		}
		n := narrowing{before: strings.SplitAfter(string(text), "\n"), now: text}
		for i := range f.Hunks {
			if err := n.add(f.Hunks, i); err != nil {
				return p, fmt.Errorf("patch %s: hunk %d of %s: %w", p.Name, i+1, f.Path, err)
			}
		}
		files = append(files, FileDiff{Path: f.Path, Hunks: n.hunks})
	}
	p.Files = files
	return p, nil
}

// narrowing is the work on one file.
type narrowing struct {
	before []string // the lines of the file, each with its line feed
	now    []byte   // its text with the hunks that are done
	end    int      // index in before behind the last hunk
	moved  int      // by how many lines those hunks made the file longer
	hunks  []Hunk
}

// maxContext is how many lines of context a hunk can have on one side.
const maxContext = 20

// add narrows a hunk, whose line numbers must be those of the file.
func (n *narrowing) add(all []Hunk, i int) error {
	if !all[i].standsIn(n.before) {
		return fmt.Errorf("its old lines are not at line %d of the file", all[i].OldLine)
	}
	core, first := all[i].core()
	behind := first + core.count('+')
	last := len(n.before) - 1 // what follows the last line feed is empty
	if i+1 < len(all) {
		_, last = all[i+1].core()
	}
	if first < n.end || behind > last {
		return fmt.Errorf("its changes at line %d overlap the hunk before it or the end of the file", first+1)
	}
	for size := 0; size <= 2*maxContext; size++ {
		for lead := 0; lead <= size; lead++ {
			trail := size - lead
			from, to := first-lead, behind+trail
			if from < n.end || to > last || (trail == 0 && to != len(n.before)-1) {
				continue
			}
			h := n.with(core, from, first, behind, to)
			text, err := h.Apply(n.now)
			if err != nil {
				continue
			}
			n.now, n.end = text, to
			n.moved += h.count('-') - h.count('+')
			n.hunks = append(n.hunks, h)
			return nil
		}
	}
	return fmt.Errorf("the file has the old lines at line %d more than once, with any context", first+1)
}

// standsIn reports whether the hunk's old lines stand in the file at its line.
func (h Hunk) standsIn(lines []string) bool {
	from := h.OldLine - 1
	to := from + h.count('+')
	return from >= 0 && to <= len(lines) && strings.Join(lines[from:to], "") == string(h.Old())
}

// with returns the hunk with lines from and to as context.
func (n *narrowing) with(core Hunk, from, first, behind, to int) Hunk {
	h := Hunk{OldLine: from + 1, NewLine: from + 1 + n.moved, Section: n.section(from)}
	context := func(lines []string) {
		for _, l := range lines {
			h.Lines = append(h.Lines, Line{' ', strings.TrimSuffix(l, "\n")})
		}
	}
	context(n.before[from:first])
	h.Lines = append(h.Lines, core.Lines...)
	context(n.before[behind:to])
	return h
}

// section returns the last line above a hunk that begins a declaration.
func (n *narrowing) section(from int) string {
	const width = 80
	for i := from - 1; i >= 0; i-- {
		l := strings.TrimRight(n.before[i], " \n")
		if l != "" && (l[0] == '_' || l[0]|0x20 >= 'a' && l[0]|0x20 <= 'z') {
			return strings.ToValidUTF8(l[:min(len(l), width)], "")
		}
	}
	return ""
}

// core returns the hunk from its first changed line to its last, and the index
// of the former in the file.
func (h Hunk) core() (Hunk, int) {
	lead, trail := 0, len(h.Lines)
	for h.Lines[lead].Kind == ' ' {
		lead++
	}
	for h.Lines[trail-1].Kind == ' ' {
		trail--
	}
	return Hunk{Lines: h.Lines[lead:trail]}, h.OldLine - 1 + lead
}
