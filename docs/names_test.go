package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMakeTargets: make has each target that a page names, and reads each variable.
func TestMakeTargets(t *testing.T) {
	makefile := read(t, "Makefile")
	var checked int
	for _, page := range pages(t) {
		for _, command := range commands(read(t, page)) {
			variables, target, found := makeCommand(command)
			if !found {
				continue
			}
			checked++
			if !regexp.MustCompile(`(?m)^([a-z -]* )?` + regexp.QuoteMeta(target) + `( [a-z -]*)?:`).MatchString(makefile) {
				t.Errorf("%s: make has no target %s", page, target)
			}
			for _, v := range variables {
				if !regexp.MustCompile(`(?m)^(export )?` + v + ` +\?=`).MatchString(makefile) {
					t.Errorf("%s: `%s`: make reads no variable %s", page, command, v)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("the pages name only %d make commands: are they found at all?", checked)
	}
}

var assignment = regexp.MustCompile(`^([A-Z_]+)=`)

// makeCommand takes a command such as "ENGINE=29 make test RUN=x" apart.
func makeCommand(command string) (variables []string, target string, found bool) {
	for word := range strings.FieldsSeq(command) {
		m := assignment.FindStringSubmatch(word)
		switch {
		case m != nil:
			variables = append(variables, m[1])
		case !found:
			if found = word == "make"; !found {
				return nil, "", false
			}
		case target == "":
			target = word
		}
	}
	return variables, target, found && target != ""
}

// programs are those of ours whose options are defined in their folder.
var programs = map[string]string{
	"mkdockerd":         "cmd/mkdockerd",
	"baleen-containerd": "cmd/baleen-containerd",
}

// TestGoCommands: the folders, tests and options exist that commands such as go run and
// go test have, and the options of our own programs.
func TestGoCommands(t *testing.T) {
	sources := goFiles(t)
	for _, page := range pages(t) {
		for _, command := range commands(read(t, page)) {
			words := strings.Fields(command)
			for len(words) > 0 && assignment.MatchString(words[0]) {
				if name, _, _ := strings.Cut(words[0], "="); strings.HasPrefix(name, "BALEEN_") && !contains(sources, "integration", `"`+name+`"`) {
					t.Errorf("%s: `%s`: no test reads %s", page, command, name)
				}
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			switch dir, ours := programs[words[0]]; {
			case ours:
				checkOptions(t, page, command, sources, dir, words[1:])
			case words[0] == "go" && len(words) > 1 && (words[1] == "run" || words[1] == "test"):
				checkGo(t, page, command, sources, words[2:])
			}
		}
	}
}

func checkGo(t *testing.T, page, command string, sources map[string]string, words []string) {
	t.Helper()
	dir := ""
	for i, word := range words {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(word, "/..."), "./"); ok {
			if info, err := os.Stat(filepath.Join(root, path)); err != nil || !info.IsDir() {
				t.Errorf("%s: `%s`: there is no folder %s", page, command, path)
			}
			dir = path
		}
		pattern, ok := strings.CutPrefix(word, "-run=")
		if word == "-run" && i+1 < len(words) {
			pattern, ok = words[i+1], true
		}
		if ok && !contains(sources, dir, "func "+strings.Trim(pattern, "'^$")) {
			t.Errorf("%s: `%s`: there is no such test in %s", page, command, dir)
		}
	}
	checkOptions(t, page, command, sources, dir, words)
}

var option = regexp.MustCompile(`^--?([a-z][a-z-]+)`)

// goOptions are those of go test.
var goOptions = []string{"run", "bench", "timeout", "update"}

func checkOptions(t *testing.T, page, command string, sources map[string]string, dir string, words []string) {
	t.Helper()
	for _, word := range words {
		m := option.FindStringSubmatch(word)
		if m != nil && !slices.Contains(goOptions, m[1]) && !contains(sources, dir, `"`+m[1]+`"`) {
			t.Errorf("%s: `%s`: %s has no option %s", page, command, dir, m[1])
		}
	}
}

var (
	testName = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`)
	filePath = regexp.MustCompile(`^(\.ci|cmd|compat|containerstore|diff|docs|imageservice|integration|snapshotter|testdata)/[\w./-]+$`)
)

// TestNamesInCode: files, folders, tests and labels exist that a span of code names.
func TestNamesInCode(t *testing.T) {
	sources := goFiles(t)
	for _, page := range pages(t) {
		for _, code := range commands(read(t, page)) {
			if filePath.MatchString(code) {
				if _, err := os.Stat(filepath.Join(root, code)); err != nil {
					t.Errorf("%s: there is no %s", page, code)
				}
			}
			for _, name := range testName.FindAllString(code, -1) {
				if strings.Contains(code, "make test-moby") { // Moby's
					continue
				}
				if !contains(sources, "", "func "+name) {
					t.Errorf("%s: there is no test %s", page, name)
				}
			}
			if strings.HasPrefix(code, "io.baleen.") && !contains(sources, "", `"`+code+`"`) {
				t.Errorf("%s: nothing is labelled %s", page, code)
			}
		}
	}
}

var label = regexp.MustCompile(`"(io\.baleen\.[a-z.-]+)"`)

// TestLabelsAreDocumented: architecture.md has each label that the code uses.
func TestLabelsAreDocumented(t *testing.T) {
	page := read(t, "docs/architecture.md")
	for path, text := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "integration/") {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(text, -1) {
			annotation := strings.HasPrefix(m[1], "io.baleen.checkpoint.") && path != "imageservice/checkpoint/image/restore.go"
			if !annotation && !strings.Contains(page, "`"+m[1]+"`") {
				t.Errorf("%s: docs/architecture.md does not have the label %s", path, m[1])
			}
		}
	}
}

// TestStorageOptions: operations.md has just the options that the daemon reads.
func TestStorageOptions(t *testing.T) {
	page, source := read(t, "docs/operations.md"), read(t, "imageservice/options.go")
	known := regexp.MustCompile(`case optionPrefix \+ "([a-z-]+)"`).FindAllStringSubmatch(source, -1)
	if len(known) == 0 {
		t.Fatal("imageservice/options.go has no options")
	}
	for _, m := range known {
		if !strings.Contains(page, `"baleen.`+m[1]+"=") {
			t.Errorf("docs/operations.md does not have the storage option baleen.%s", m[1])
		}
	}
	for _, name := range pages(t) {
		for _, m := range regexp.MustCompile(`"baleen\.([a-z-]+)=`).FindAllStringSubmatch(read(t, name), -1) {
			if !slices.ContainsFunc(known, func(k []string) bool { return k[1] == m[1] }) {
				t.Errorf("%s: there is no storage option baleen.%s", name, m[1])
			}
		}
	}
}

// TestMetrics: operations.md has just the metrics that the daemon registers, with the
// units that go-metrics adds to their names.
func TestMetrics(t *testing.T) {
	var registered []string
	for _, m := range regexp.MustCompile(`commitMetrics\.New(\w+)\("(\w+)"`).FindAllStringSubmatch(read(t, "imageservice/internal/phases/phases.go"), -1) {
		unit := map[string]string{"LabeledTimer": "seconds", "Counter": "total"}[m[1]]
		registered = append(registered, "baleen_commit_"+m[2]+"_"+unit)
	}
	documented := regexp.MustCompile(`baleen_commit_\w+`).FindAllString(read(t, "docs/operations.md"), -1)
	if len(registered) == 0 || !slices.Equal(documented, registered) {
		t.Errorf("the metrics are %q, and not %q", registered, documented)
	}
}

// goFiles are the Go files of the tree, by their paths from the root.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		switch {
		case d.IsDir() && (name == ".build" || name == "bin" || name == ".git"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// contains reports whether a Go file below dir has a text.
func contains(sources map[string]string, dir, text string) bool {
	for path, source := range sources {
		if strings.HasPrefix(path, dir) && strings.Contains(source, text) {
			return true
		}
	}
	return false
}
