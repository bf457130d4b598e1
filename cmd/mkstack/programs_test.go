package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
)

// What is left out of a program is named exactly: a release that has it no more,
// or under another name, is not built unnoticed.
func TestCut(t *testing.T) {
	const name = "cmd/whale/main.go"
	tree := &modtree.Tree{Origin: t.TempDir(), Dir: t.TempDir()}
	path := filepath.Join(tree.Origin, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	source := "package main\n\nimport (\n\t_ \"example.com/whale/krill\"\n\t_ \"example.com/whale/plankton\"\n)\n"
	if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}

	p := program{module: "example.com/whale", pkg: "./cmd/whale", without: []string{"krill"}}
	if err := p.cut(tree); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(tree.Dir, name))
	if want := strings.Replace(source, "\t_ \"example.com/whale/krill\"\n", "", 1); err != nil || string(got) != want {
		t.Errorf("the program is now\n%s%v", got, err)
	}

	p.without = []string{"krill", "plank"}
	if err := p.cut(tree); err == nil || !strings.Contains(err.Error(), "does not import plank") {
		t.Errorf("leaving out what is not there: %v", err)
	}
}
