package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/compat/fork"
	"github.com/baleen-project/baleen/integration/fidelity"
)

var update = flag.Bool("update", false, "write the table of patches anew")

// TestPatches: fork.md has the patches of all engine lines, with their reasons.
func TestPatches(t *testing.T) {
	const page, begin, end = "docs/fork.md", "<!-- begin patches -->\n", "<!-- end patches -->\n"
	text := read(t, page)
	before, rest, found := strings.Cut(text, begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	want := patchTable(t)
	switch {
	case table == want:
	case *update:
		if err := os.WriteFile(filepath.Join(root, page), []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not have the patches of compat/fork: run `go test ./docs -update`\n%s", page, want)
	}
}

func patchTable(t *testing.T) string {
	t.Helper()
	type row struct {
		reason string
		in     map[engine.Line]string
	}
	rows := map[string]*row{}
	var order []string
	var sums []string
	for _, line := range slices.Backward(engine.Lines()) {
		series, glue := load(t, line)
		var hunks int
		files := map[string]bool{}
		for _, p := range series.Patches {
			r := rows[p.Subject]
			if r == nil {
				r = &row{reason: strings.Join(strings.Fields(p.Body), " "), in: map[engine.Line]string{}}
				rows[p.Subject], order = r, append(order, p.Subject)
			}
			n := countHunks(p, files)
			hunks += n
			r.in[line] = fmt.Sprintf("%s (%d)", p.Name[:4], n)
		}
		sums = append(sums, fmt.Sprintf("Moby %s: %d patches, %d hunks in %d files, and %d lines of glue.\n", line, len(series.Patches), hunks, len(files), glue))
	}
	var b strings.Builder
	head, rule := "| patch |", "|---|"
	for _, line := range slices.Backward(engine.Lines()) {
		head, rule = head+" "+string(line)+": number (hunks) |", rule+"---|"
	}
	fmt.Fprintf(&b, "%s reason |\n%s---|\n", head, rule)
	for _, subject := range order {
		fmt.Fprintf(&b, "| %s |", subject)
		for _, line := range slices.Backward(engine.Lines()) {
			cell := rows[subject].in[line]
			if cell == "" {
				cell = "–"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		fmt.Fprintf(&b, " %s |\n", rows[subject].reason)
	}
	return b.String() + "\n" + strings.Join(sums, "\n")
}

// load reads the series of a line, and counts the lines of its glue.
func load(t *testing.T, line engine.Line) (series *fork.Series, glue int) {
	t.Helper()
	folder := filepath.Join(root, "compat", "fork")
	series, err := fork.Load(os.DirFS(filepath.Join(folder, string(line))))
	if err == nil {
		err = series.AddGlue(os.DirFS(filepath.Join(folder, "_glue")))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range series.Glue {
		glue += strings.Count(string(text), "\n")
	}
	return series, glue
}

var importLine = regexp.MustCompile(`^\s*([\w.]+ )?"[^"]+"$|^$`)

// countHunks counts the hunks that change more than imports, and adds their files.
func countHunks(p fork.Patch, files map[string]bool) (n int) {
	for _, f := range p.Files {
		for _, h := range f.Hunks {
			if slices.ContainsFunc(h.Lines, func(l fork.Line) bool { return l.Kind != ' ' && !importLine.MatchString(l.Text) }) {
				n++
				files[f.Path] = true
			}
		}
	}
	return n
}

// TestVerbs: guarantees.md says of each verb of the image service whose it is.
func TestVerbs(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/guarantees.md"), "| verb of the image service | whose |\n")
	if !found {
		t.Fatal("docs/guarantees.md has no table of verbs")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	whose := map[string]string{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 {
			continue
		}
		for _, name := range regexp.MustCompile(`\b[A-Z]\w+`).FindAllString(regexp.MustCompile("`[^`]*`").ReplaceAllString(cells[1], ""), -1) {
			whose[name] = strings.TrimSpace(cells[2])
		}
	}
	for _, name := range slices.Concat(fork.OurVerbs, fork.MobyVerbs) {
		if whose[name] == "" {
			t.Errorf("docs/guarantees.md does not say whose the verb %s is", name)
		}
	}
	for name, owner := range whose {
		ours, mobys := slices.Contains(fork.OurVerbs, name), slices.Contains(fork.MobyVerbs, name)
		switch {
		case !ours && !mobys:
			t.Errorf("docs/guarantees.md: the image service has no verb %s", name)
		case owner == "Baleen" && !ours, owner == "Moby" && ours:
			t.Errorf("docs/guarantees.md: the verb %s is not %s's", name, owner)
		}
	}
}

// TestPins: compatibility.md names the versions that the pins have.
func TestPins(t *testing.T) {
	page := read(t, "docs/compatibility.md")
	lines := 0
	for line := range strings.Lines(read(t, "cmd/internal/modtree/pins.txt")) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !slices.ContainsFunc([]string{"/docker/docker", "/moby/moby/", "/containerd/containerd/"}, func(m string) bool { return strings.Contains(fields[0], m) }) {
			continue
		}
		lines++
		names := []string{strings.TrimSuffix(strings.TrimPrefix(fields[1], "v"), "+incompatible")}
		if len(fields) > 3 {
			names = []string{fields[3], strings.TrimPrefix(fields[1], "v2.0.0-")}
		}
		for _, name := range names {
			if !strings.Contains(page, name) {
				t.Errorf("docs/compatibility.md does not name %s, which pins.txt has of %s", name, fields[0])
			}
		}
	}
	if lines == 0 {
		t.Error("found no pins")
	}
}

// TestNumberOfScripts: pages say how many scripts the fidelity corpus has.
func TestNumberOfScripts(t *testing.T) {
	n := strconv.Itoa(len(fidelity.Cases()))
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile(`(\d+) scripts|scripts of (\d+)`).FindAllStringSubmatch(read(t, page), -1) {
			if m[1]+m[2] != n {
				t.Errorf("%s: %q, and there are %s", page, m[0], n)
			}
		}
	}
}
