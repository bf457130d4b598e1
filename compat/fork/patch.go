package fork

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Patch is one commit of a series: one purpose, and the reason for it.
type Patch struct {
	Name    string // of its file, as git format-patch names it: "0001-daemon-make-it-so.patch"
	Subject string // one line, without "[PATCH]"
	Body    string // the reason: whole lines, without blank lines around them; may be empty
	Files   []FileDiff
}

// FileDiff is what a patch changes in one file.
type FileDiff struct {
	Path  string // from the root of the tree, with slashes
	Hunks []Hunk
}

// Hunk is one place of a file that a patch changes.
type Hunk struct {
	OldLine, NewLine int    // number of the first line before and after, from 1
	Section          string // the function that the hunk stands in, for readers
	Lines            []Line
}

// Line is one line of a hunk.
type Line struct {
	Kind byte   // one of ' ', '-' and '+'
	Text string // without the line feed
}

var importLine = regexp.MustCompile(`^\t([\w.]+ )?"[^"]+"$`)

// ChangesImports reports whether the hunk adds and removes imports, and nothing else.
func (h Hunk) ChangesImports() bool {
	return !slices.ContainsFunc(h.Lines, func(l Line) bool {
		return l.Kind != ' ' && strings.TrimSpace(l.Text) != "" && !importLine.MatchString(l.Text)
	})
}

// Old returns the lines that the hunk replaces, context and removed ones, each
// with its line feed.
func (h Hunk) Old() []byte { return h.text('+') }

// New returns the lines that take their place.
func (h Hunk) New() []byte { return h.text('-') }

func (h Hunk) text(without byte) []byte {
	var b bytes.Buffer
	for _, l := range h.Lines {
		if l.Kind != without {
			b.WriteString(l.Text)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Apply returns the text with the hunk's old lines replaced. They must stand in
// it exactly once, as whole lines; where does not matter.
func (h Hunk) Apply(text []byte) ([]byte, error) {
	old := h.Old()
	at := occurrences(text, old)
	switch len(at) {
	case 1:
	case 0:
		return nil, fmt.Errorf("the file does not have its old lines%s", h.missing(text))
	default:
		return nil, fmt.Errorf("the file has its old lines %d times, at lines %s", len(at), lineNumbers(text, at))
	}
	out := make([]byte, 0, len(text)+len(h.New()))
	out = append(out, text[:at[0]]...)
	out = append(out, h.New()...)
	return append(out, text[at[0]+len(old):]...), nil
}

// missing names the first old line that the text lacks altogether, if there is
// one: usually the line that Moby has changed.
func (h Hunk) missing(text []byte) string {
	for _, l := range h.Lines {
		if l.Kind != '+' && len(occurrences(text, []byte(l.Text+"\n"))) == 0 {
			return fmt.Sprintf(": this one is nowhere in it: %q", l.Text)
		}
	}
	return ""
}

// occurrences returns the offsets at which whole lines stand in a text.
func occurrences(text, lines []byte) (at []int) {
	if len(lines) == 0 {
		return nil
	}
	for from := 0; from < len(text); {
		i := bytes.Index(text[from:], lines)
		if i < 0 {
			return at
		}
		i += from
		if i == 0 || text[i-1] == '\n' {
			at = append(at, i)
		}
		from = i + 1
	}
	return at
}

func lineNumbers(text []byte, at []int) string {
	const shown = 5
	var numbers []string
	for i, offset := range at {
		if i == shown {
			numbers = append(numbers, "…")
			break
		}
		numbers = append(numbers, fmt.Sprint(1+bytes.Count(text[:offset], []byte("\n"))))
	}
	return strings.Join(numbers, ", ")
}

// Apply returns the files of the patch as it leaves them. An error names the
// patch, the file and the hunk.
func (p Patch) Apply(read func(path string) ([]byte, error)) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, f := range p.Files {
		text, err := read(f.Path)
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", p.Name, err)
		}
		for i, h := range f.Hunks {
			if text, err = h.Apply(text); err != nil {
				return nil, fmt.Errorf("patch %s: hunk %d of %s (line %d): %w", p.Name, i+1, f.Path, h.OldLine, err)
			}
		}
		files[f.Path] = text
	}
	return files, nil
}
