package fork

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// maxPatch bounds the size of a patch file in bytes. Ours have two thousand.
const maxPatch = 1 << 20

// Parse reads one patch in the form of git format-patch. It takes changes of
// text files and nothing else: no new, renamed or deleted file, no change of
// mode, nothing binary, no line without a line feed.
func Parse(name string, text []byte) (Patch, error) {
	p := Patch{Name: name}
	if len(text) > maxPatch {
		return p, fmt.Errorf("patch %s has %d bytes, more than %d", name, len(text), maxPatch)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		return p, fmt.Errorf("patch %s does not end in a line feed", name)
	}
	r := &reader{lines: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
	if err := r.patch(&p); err != nil {
		return p, fmt.Errorf("patch %s, line %d: %w", name, r.at+1, err)
	}
	return p, nil
}

// reader goes through the lines of a patch.
type reader struct {
	lines []string
	at    int
}

func (r *reader) peek() (string, bool) {
	if r.at == len(r.lines) {
		return "", false
	}
	return r.lines[r.at], true
}

// take returns what follows the prefix in the next line and goes on, if the
// line begins with it.
func (r *reader) take(prefix string) (string, bool) {
	line, ok := r.peek()
	if !ok || !strings.HasPrefix(line, prefix) {
		return "", false
	}
	r.at++
	return line[len(prefix):], true
}

func (r *reader) patch(p *Patch) error {
	if err := r.header(p); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r.at < len(r.lines) {
		f, err := r.file()
		if err != nil {
			return err
		}
		if seen[f.Path] {
			return fmt.Errorf("%s stands in the patch twice", f.Path)
		}
		seen[f.Path] = true
		p.Files = append(p.Files, f)
	}
	if len(p.Files) == 0 {
		return errors.New("the patch changes no file")
	}
	return nil
}

// header reads the mail's header and the message, up to the first file.
func (r *reader) header(p *Patch) error {
	for line, ok := r.peek(); ok && line != ""; line, ok = r.peek() {
		r.at++
		subject, ok := strings.CutPrefix(line, "Subject: ")
		if !ok {
			continue
		}
		for more, ok := r.take(" "); ok; more, ok = r.take(" ") {
			subject += " " + more
		}
		p.Subject = strings.TrimPrefix(subject, "[PATCH] ")
	}
	if p.Subject == "" {
		return errors.New("there is no subject")
	}
	var body []string
	for line, ok := r.peek(); ok && line != "---" && !strings.HasPrefix(line, "diff --git "); line, ok = r.peek() {
		body = append(body, line)
		r.at++
	}
	if text := strings.Trim(strings.Join(body, "\n"), "\n"); text != "" {
		p.Body = text + "\n"
	}
	for line, ok := r.peek(); ok && !strings.HasPrefix(line, "diff --git "); line, ok = r.peek() {
		if line != "---" && line != "" && !strings.HasPrefix(line, " ") { // the summary of changes
			return fmt.Errorf("want a file's changes, have %q", line)
		}
		r.at++
	}
	return nil
}

// file reads the changes of one file.
func (r *reader) file() (FileDiff, error) {
	var f FileDiff
	both, ok := r.take("diff --git ")
	if !ok {
		line, _ := r.peek()
		return f, fmt.Errorf("want a file's changes, have %q", line)
	}
	r.take("index ")
	before, ok := r.take("--- a/")
	if !ok {
		line, _ := r.peek()
		return f, fmt.Errorf("want \"--- a/PATH\", have %q: only changes of text in existing files are supported", line)
	}
	after, ok := r.take("+++ b/")
	if !ok || before != after || both != "a/"+before+" b/"+before {
		return f, fmt.Errorf("the names of %s in its three lines differ", before)
	}
	if !fs.ValidPath(before) || before == "." || strings.ContainsAny(before, "\"\\\t") {
		return f, fmt.Errorf("%q is not a path within a tree", before)
	}
	f.Path = before
	for line, ok := r.peek(); ok && strings.HasPrefix(line, "@@ "); line, ok = r.peek() {
		h, err := r.hunk()
		if err != nil {
			return f, err
		}
		f.Hunks = append(f.Hunks, h)
	}
	if len(f.Hunks) == 0 {
		return f, fmt.Errorf("the patch has no hunk for %s", f.Path)
	}
	return f, nil
}

func (r *reader) hunk() (Hunk, error) {
	head, _ := r.peek()
	h, old, added, err := parseRange(head)
	if err != nil {
		return h, err
	}
	r.at++
	changed := false
	for old > 0 || added > 0 {
		line, ok := r.peek()
		if !ok || line == "" {
			return h, errors.New("the hunk has fewer lines than its head says")
		}
		l := Line{Kind: line[0], Text: line[1:]}
		switch l.Kind {
		case ' ':
			old, added = old-1, added-1
		case '-':
			old, changed = old-1, true
		case '+':
			added, changed = added-1, true
		default:
			return h, fmt.Errorf("a line of a hunk begins with %q", l.Kind)
		}
		h.Lines = append(h.Lines, l)
		r.at++
	}
	switch {
	case old != 0 || added != 0:
		return h, errors.New("the hunk has more lines than its head says")
	case !changed:
		return h, errors.New("the hunk changes nothing")
	case len(h.Old()) == 0:
		return h, errors.New("the hunk has no old lines to find its place by")
	}
	if line, ok := r.peek(); ok && strings.HasPrefix(line, `\`) {
		return h, errors.New("a file whose last line has no line feed is not supported")
	}
	return h, nil
}

// parseRange reads "@@ -OLD,COUNT +NEW,COUNT @@ SECTION".
func parseRange(head string) (h Hunk, old, added int, err error) {
	fail := fmt.Errorf("want \"@@ -LINE,COUNT +LINE,COUNT @@\", have %q", head)
	ranges, section, ok := strings.Cut(strings.TrimPrefix(head, "@@ -"), " @@")
	before, after, both := strings.Cut(ranges, " +")
	if !ok || !both || !strings.HasPrefix(head, "@@ -") {
		return h, 0, 0, fail
	}
	h.Section = strings.TrimPrefix(section, " ")
	var ok1, ok2 bool
	h.OldLine, old, ok1 = lineAndCount(before)
	h.NewLine, added, ok2 = lineAndCount(after)
	if !ok1 || !ok2 {
		return h, 0, 0, fail
	}
	return h, old, added, nil
}

// lineAndCount reads "LINE,COUNT", or "LINE" for one line.
func lineAndCount(s string) (line, count int, ok bool) {
	number, rest, several := strings.Cut(s, ",")
	if !several {
		rest = "1"
	}
	line, err1 := strconv.Atoi(number)
	count, err2 := strconv.Atoi(rest)
	ok = err1 == nil && err2 == nil && line >= 0 && count >= 0 && line <= maxPatch && count <= maxPatch
	return line, count, ok
}
