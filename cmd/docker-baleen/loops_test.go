package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoopsOfDockersModules: modules without a go.mod are compiled by the rules
// of Go 1.16, where all rounds of a loop share its variables. The compiler tells
// which loops that matters for. In the plugin there must be none.
func TestLoopsOfDockersModules(t *testing.T) {
	if said := loops(t, ".", "github.com/docker/cli/...", "github.com/docker/docker/..."); said != "" {
		t.Errorf("these loops do not do what they were written for:\n%s", said)
	}
}

// The compiler does tell.
func TestLoopsAreFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/old\n\ngo 1.16\n",
		"main.go": "package main\n\nfunc main() {\n\tvar all []*int\n\tfor i := 0; i < 3; i++ {\n\t\tall = append(all, &i)\n\t}\n" +
			"\tprintln(*all[0])\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if said := loops(t, dir, "example.com/..."); !strings.Contains(said, "loop variable i") {
		t.Errorf("the compiler says %q", said)
	}
}

// loops builds the program in dir and returns what the compiler says of loops in
// the packages.
func loops(t *testing.T, dir string, packages ...string) string {
	t.Helper()
	args := []string{"build", "-o", os.DevNull}
	for _, p := range packages {
		args = append(args, "-gcflags="+p+"=-d=loopvar=2")
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var said strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "loop variable") {
			said.WriteString(line)
		}
	}
	return said.String()
}
