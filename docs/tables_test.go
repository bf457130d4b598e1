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

// countHunks counts the hunks that change more than imports, and adds their files.
func countHunks(p fork.Patch, files map[string]bool) (n int) {
	for _, f := range p.Files {
		for _, h := range f.Hunks {
			if !h.ChangesImports() {
				n++
				files[f.Path] = true
			}
		}
	}
	return n
}

// TestVerbs: guarantees.md says who implements each verb of the image service.
func TestVerbs(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/guarantees.md"), "| verb of the image service | by |\n")
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

// pin is a module of pins.txt. release is what Moby's module of 29 is a release of, as
// tags have it.
type pin struct {
	lines            []string
	module           string
	version, release string
}

// pins reads those whose module has part in its path, in the order of the file.
func pins(t *testing.T, part string) (found []pin) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, "cmd/internal/modtree/pins.txt")) {
		if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "["); ok {
			lines = strings.Fields(strings.TrimSuffix(heading, "]"))
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(line, "#") || !strings.Contains(fields[0], part) {
			continue
		}
		p := pin{lines: lines, module: fields[0], version: strings.TrimSuffix(fields[1], "+incompatible")}
		if p.release = strings.TrimPrefix(p.version, "v"); len(fields) > 3 {
			p.release = fields[3]
		}
		found = append(found, p)
	}
	if len(found) == 0 {
		t.Fatalf("pins.txt has no %s", part)
	}
	return found
}

// TestPins: compatibility.md names the versions of containerd that the pins have.
func TestPins(t *testing.T) {
	page := read(t, "docs/compatibility.md")
	for _, p := range pins(t, "/containerd/containerd/") {
		if !strings.Contains(page, p.release) {
			t.Errorf("docs/compatibility.md does not name %s, which pins.txt has of %s", p.release, p.module)
		}
	}
}

// TestEngines: the tables of engines have each release of Moby that is pinned, and say
// that the first one of a line is built, and of the others that the patches fit.
func TestEngines(t *testing.T) {
	for _, line := range engine.Lines() {
		for i, p := range pins(t, line.Module()) {
			if !slices.Contains(p.lines, string(line)) {
				t.Fatalf("pins.txt has %s under %q", p.module, p.lines)
			}
			for _, page := range []string{"README.md", "docs/compatibility.md"} {
				checkEngine(t, page, engineRows(t, page), line, p, i == 0)
			}
			if row := "| " + string(line) + " | " + p.release + " |"; i == 0 && !strings.Contains(read(t, "docs/security.md"), row) {
				t.Errorf("docs/security.md has no row %q", row)
			}
		}
	}
}

func checkEngine(t *testing.T, page string, rows [][]string, line engine.Line, p pin, built bool) {
	t.Helper()
	version := strings.TrimPrefix(p.version, "v2.0.0-") // as ranges have it
	i := slices.IndexFunc(rows, func(cells []string) bool {
		words := strings.Fields(strings.ReplaceAll(cells[1]+" "+cells[2], ",", " "))
		return cells[0] == string(line) && slices.Contains(words, p.release) && (slices.Contains(words, version) || slices.Contains(words, p.version))
	})
	if i < 0 {
		t.Errorf("%s: the table of engines does not have %s of engine %s, which is %s %s", page, p.release, line, p.module, p.version)
		return
	}
	cells := rows[i]
	if named := strings.HasPrefix(cells[2], "`"+p.module+"` "+p.version); named != built {
		t.Errorf("%s: the module of %s is %q; %s is built: %v", page, p.release, cells[2], p.version, built)
	}
	if fits := strings.Contains(cells[3], "patches fit"); fits == built {
		t.Errorf("%s: the state of %s is %q; it is built: %v", page, p.release, cells[3], built)
	}
	if isDefault := strings.Contains(cells[3], "the default"); built && isDefault != (line == engine.Default) {
		t.Errorf("%s: the state of %s is %q; the default is %s", page, p.release, cells[3], engine.Default)
	}
}

// engineRows are the cells of a page's table of engines. A row without an engine is one
// of the engine above it.
func engineRows(t *testing.T, page string) (rows [][]string) {
	t.Helper()
	_, table, found := strings.Cut(read(t, page), "| engine | release | Go module | state |\n|---|---|---|---|\n")
	if !found {
		t.Fatalf("%s has no table of engines", page)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			t.Fatalf("%s: a row of the table of engines is %q", page, line)
		}
		for i, cell := range cells {
			if cells[i] = strings.TrimSpace(cell); i == 0 && cells[i] == "" && len(rows) > 0 {
				cells[i] = rows[len(rows)-1][0]
			}
		}
		rows = append(rows, cells)
	}
	return rows
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
